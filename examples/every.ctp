# A line at the beginning, one each second, one at the end.
global calls

probe begin { println("counting the calls of my_function") }
probe container("web"):/app/test_app.fn("my_function") { calls++ }
probe every(1s) { printf("%d calls so far\n", calls) }
probe end { printf("%d calls in all\n", calls) }
