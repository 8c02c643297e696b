# How often which program of which container was there: maps that nothing reads are printed when tracing ends.
# The glob takes in web, web2 and whatever else is called so.
global calls, large, small

probe container("web*"):/app/test_app.fn("my_function") {
    calls[container(), comm()]++
    if ($arg < 1000) {
        small++
    } else {
        large++
    }
}
