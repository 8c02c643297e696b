probe begin {
    x = 1; y = 2
    x += 1; x -= 1; x *= 2; x /= 2; x %= 2; x &= 1; x |= 1; x ^= 1; x <<= 1; x >>= 1; s .= "more"
    x++; --x
    a = b = 3
    if (x) y++
    if (x) y++ else x++
    if (x) {
        y = 1
    }
    else if (y) { y = 2 }
    else

        y = 3
    while (x < 10) { x++; continue }
    for (i = 0; i < 10; i++) { if (i == 5) break }
    for (;;) next
    for (
        i = 0;
        i < 10;
        i++
    )
        f(i)
    foreach (k in m) f(k)
    foreach (k- in m limit 5) f(k)
    foreach (v = k in m+) f(v, k)
    foreach (v = [a, b+] in m limit n * 2) { f(a, b) }
    foreach (k in m @p99- limit 10) { }
    delete m
    delete m[1, "a"]
    m[k] <<< elapsed()
    lat <<<
        3
    emit { }
    emit { path: $req->path, in: 3, next: 4 }
    emit {
        one: 1,
        two: f(
            2
        ),
    }
    { { f() } }
    c ? f() : g()
    c && f()
    ;;
    exit(); error("text")
    return
    return 5
}
