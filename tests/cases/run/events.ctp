# One event is one line; error ends the handler and the run.
global n

probe begin {
    emit { n: 1 + 1, who: "web", long: sprintf("%d-%d", 1, 2) }
    n = 7
    if (n > 5) error(sprintf("n is %d", n))
    println("never")
}
probe end { println("the end", n) }
