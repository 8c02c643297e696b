# What is wrong with a handler is said even where its point is wrong, as far as it needs no site; what only follows from
# the point is not.
global n

probe container("wob"):/app/test_app.fn("my_function") {    #~ E0101 no container named `wob`
    printf("%d %d\n", $arg)                      #~ E0202 the format has 2 conversions, but 1 value follows it
    printf("%y\n", $arg)                         #~ E0202 is no conversion
    n += $arg + 1
    println($$parms, pid(), user_string($text), undefined)  #~ E0106 no global, constant or local is named `undefined`
    foreach (k in n) println(k)                  #~ E0206 `foreach` belongs to
    #~ E0207 `n` is one value, not a map
    if ($arg > 3 && comm() == "x") n++
    return                                       #~ E0206 `return` belongs to a function
}
probe container("web"):/app/test_app.fn("my_funktion") {    #~ E0104 my_funktion
    println(strlen())                            #~ E0203 `strlen` takes 1 argument, not 0
}
global 3x = 1, width                             #~ E0001 expected
probe begin { println(width) }
