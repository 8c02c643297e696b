# A fault ends the run of its handler and drops what it printed; what it changed stays.
global zero, done

probe begin {
    done = 1
    println("dropped")
    println(10 / zero)
}
probe begin {
    while (zero == 0) done++
    println("dropped, too")
}
probe end { println(done) }
