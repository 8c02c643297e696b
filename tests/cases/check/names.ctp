# A name that means nothing is said once, whatever uses it; what broken text names is no fault elsewhere.
global total

probe begin {
    println(totl, totl + 1)                      #~ E0106 no global, constant or local is named `totl`
    #~ help: did you mean `total`?
    total = sqare(3) + sqare(totl)               #~ E0108 there is no function `sqare`
}
probe end {
    if (totl > 3) println(@avrg(total), sqare(4))  #~ E0108 there is no `@avrg`
    println(@avrg(total))
    foreach (k in mapp) println(k)               #~ E0106 no global is named `mapp`
    foreach (k in mapp) println(k)
}
probe container("web"):/app/test_app.fn("my_function") {
    println($agr, $agr)                          #~ E0105 `my_function` has no parameter or variable `agr`
    println($arg->x, $arg->x)                    #~ E0120 `$arg` is a number and has no members
}
probe every(1s) {
    y = 3 z = 4                                  #~ E0001 found `z`
    println(y, z)
    w = 1
    w == 2                                       #~ E0006 this statement has no effect
    lost == 2                                    #~ E0006 this statement has no effect
    #~ E0106 no global, constant or local is named `lost`
}
