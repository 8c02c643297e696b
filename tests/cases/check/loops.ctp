# Loops end by their condition, by break, or when the run has gone round too often.
global n, log

probe begin {
    while (n < 10) {
        n++
        if (n == 3) continue
        if (n == 8) break
    }
    for (i = 0; i < 4; i++) log .= sprintf("%d", i)
    for (;;) { if (n++ > 20) break }
    while (true) { n++; if (n > 30) break }
    c = 1
    c ? n++ : n--
    n > 5 && println("many")
    x = y = n++ + (c += 2)
    println(n, log, x, y, c)
}

probe end {
    while (1 > 2) n++                            #~ W0002 always false: the loop never runs
    while (n + "a") n++                          #~ E0201 a number is wanted here
    for (;;) n++                                 #~ W0002 this loop never ends
    #~ help: leave it with `break`
}
probe end {
    if (n > 1) { break }                         #~ E0206 there is no loop here
    continue                                     #~ E0206 there is no loop here
    while (n) {
        next
        n--                                      #~ W0011 never reached
    }
    if (n) next else exit()
    println(n)                                   #~ W0011 never reached
}
