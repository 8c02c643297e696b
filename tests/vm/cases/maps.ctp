# Counters and maps: read in order, an entry and a whole map taken out; what nothing reads is printed at the end. A timer.
global total, last = "none", seen, by_both[16], gone, ticks
probe container("1111"):/app/traced.fn("weigh") {
    total += $kilos
    last = user_string($what)
    seen[last]++
    gone[$kilos] = 1
    by_both[last, $kilos] += $kilos + 1
}
probe every(100ms) { ticks++ }
probe end {
    foreach ([what] in seen-) printf("%s %d\n", what, seen[what])
    foreach (kilos- in gone) printf("%d ", kilos)
    delete gone[1]
    println(0 in gone, 1 in gone, 4 in gone)
    delete gone
    println(0 in gone, 4 in gone, gone[4], ticks > 3)
}
#= even 3
#= odd 2
#= 4 1 0 1 0 1
#= 0 0 0 1
#= total = 6
#= by_both["even", 4] = 5
#= by_both["odd", 1] = 4
#= by_both["even", 0] = 2
