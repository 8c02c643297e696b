# for runs its step after continue, too; break leaves the innermost loop only.
probe begin {
    for (i = 0; i < 6; i++) {
        if (i == 1) continue
        if (i == 4) break
        for (j = 0; ; j++) {
            if (j == 2) break
            print(i, j, "")
        }
    }
    println()
    n = 3
    while (n--) print(n, "")
    println("then", n)
    # The value of a step is the one before it, or the one after; that of an assignment is what was assigned.
    a = b = 5
    println(a++, a, ++a, a--, --a, a, b += 2, b)
    n < 0 && println("below")
    n < 0 || println("not below")
    n ? println("some") : println("none")
}
