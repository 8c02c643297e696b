# Loops, break, continue; the rounds of one run are bounded.
#$ --max-steps 20
probe begin {
    for (i = 0; i < 10; i++) {
        if (i == 1) continue
        if (i == 4) break
        println(i)
        #= 0
        #= 2
        #= 3
    }
    while (n < 3) n++
    println(n)  #= 3
}
probe begin {
    for (i = 0; i < 30; i++) sum += i   #= (stopped at line 16: too many steps)
    println(sum)
}
