# Loops over maps, in any order that a map has.
global calls, times, names, total = 0, k2

probe container("web"):/app/test_app.fn("my_function") {
    calls[pid(), comm()]++
    times[comm()] <<< $arg
    names[$arg] = comm()
    foreach ([p, c] in calls) println(p, c)      #~ E0206 `foreach` belongs to `begin`, `end` and `every`
    #~ help: probe every(1s)
    delete calls                                 #~ E0206 `delete calls`, a whole map, belongs to
    delete calls[pid(), comm()]
    delete total
    print(calls)                                 #~ E0206 printing the whole map `calls` belongs to
}

probe end {
    foreach ([p, c] in calls) println(p, c)
    foreach (v = [p, c-] in calls limit 3 + 1) println(v, p, c)
    foreach ([p, c] in calls-) println(c . "!")
    foreach (name in times @p90- limit 10) println(name, @p90(times[name]))
    foreach (name in times+) println(name)
    # A loop may use a name that has another type elsewhere: here it is a number.
    foreach (name in names) println(name + 1)
    delete calls
    foreach (total in times) println(total)      #~ E0107 `total` is a global, too
    foreach ([p, p] in calls) println(p)         #~ E0107 `p` is twice in this loop
    foreach (p in calls) println(p)              #~ E0207 the key of `calls` has 2 parts, not 1
    foreach (p in total) println(p)              #~ E0207 `total` is one value, not a map
    foreach (p in tims) println(p)               #~ E0106 no global is named `tims`
    #~ help: did you mean `times`?
    foreach (n in names @avg-) println(n)        #~ E0201 `names` holds no aggregates
    foreach (n in times @avrg-) println(n)       #~ E0108 `@avrg` is nothing to order by
    foreach ([p-, c+] in calls) println(p, c)    #~ E0203 one order, not two
    foreach (n in names limit "x") println(n)    #~ E0201 a number is wanted here
    delete total + 1                             #~ E0210 this cannot be deleted
    delete nothing                               #~ E0106 no global is named `nothing`
    println(k2)
}
