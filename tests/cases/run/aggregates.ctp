# What aggregates answer; of nothing there is a count and a sum, and the rest are faults.
global all, per, none, unread, took

probe begin {
    all <<< 10; all <<< 20; all <<< 33
    per["a"] <<< -7
    println(@count(all), @sum(all), @min(all), @max(all), @avg(all))
    println(@count(per["a"]), @avg(per["a"]), @count(per["b"]), @sum(none))
    println(@avg(none))
    println(@avg(all) / 2 + @count(all))
}
probe begin {
    println("dropped: the condition is a fault")
    if (@min(none) > 0) println("never")
}
probe begin {
    # Of a whole map: of each entry, the greatest first.
    took["a", 1] <<< 2; took["a", 1] <<< 4; took["b", 2] <<< 7
    println(@avg(took))
    print(@count(took))
    println(@p90(none))
}
probe end {
    println("a" in per, "b" in per)
    delete per["a"]
    delete all
    println("a" in per, @count(all))
    unread <<< 3
    unread <<< 4
}
