# Maps in each order there is. Equal entries come by rising keys.
global m, words, took

probe begin {
    m["b", 2] = 10; m["a", 3] = 30; m["c", 1] = 20; m["a", 1] = 10
    foreach ([s, n] in m+) print(s . sprintf("%d", n), "")
    println()
    foreach (v = [s, n] in m- limit 2) print(v, s, "")
    println()
    foreach ([s-, n] in m) print(s, "")
    println()
    foreach (v = [s, n+] in m limit 1 + 1) print(n, v, "")
    println()
    took["slow"] <<< 100; took["slow"] <<< 300; took["fast"] <<< 5; took["fast"] <<< 6; took["fast"] <<< 7
    foreach (t in took-) print(t, @count(took[t]), "")
    println()
    foreach (c = t in took @avg-) print(t, @avg(took[t]), c, "")
    println()

    # A loop's variable keeps its last value, as in SystemTap; a loop over keys of another type has its own.
    foreach (s in took+) {}
    println(s)
    words[7] = "seven"
    foreach (s in words) println(s + 1, words[s])
    println(s)
    foreach ([s, n] in m) { if (n == 1) delete m[s, n] }
    delete words[8]
    println(["a", 1] in m, ["a", 3] in m, m["a", 1], words[7])
    foreach (k in words limit 0) println("never")
    delete words
    foreach (k in words) println("never")
    x = 3; delete x
    println(x, 7 in words)
}
