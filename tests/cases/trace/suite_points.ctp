# After SystemTap's tests sdt_types, foreach_value and global_end: arguments of marks by their width and sign, values beside
# keys, what nothing reads.
#$ suite.c
global seen, calls, unread
probe container("web"):/app/bin.mark("suite", "point") { println(arg(1), user_string(arg(2)), arg(3), arg(4)) }  #= 4 hello 1099511627776 200
probe container("web"):/app/bin.fn("walk") { seen[$depth] += 10 * $depth; calls++; unread <<< $depth }
probe end {
    foreach (value = key in seen-) println(key, value)
    #= 2 20
    #= 1 10
    #= 0 0
    println(calls)  #= 3
}
#= unread = count 3, sum 3, min 0, max 2, avg 1
