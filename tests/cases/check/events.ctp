# Structured events, and messages that end the run.
global n, m

probe container("web"):/app/test_app.fn("my_function") {
    emit { arg: $arg, who: comm(), twice: $arg * 2, }
    emit { }                                     #~ E0203 an event needs at least one field
    emit { a: 1, b: 2, a: 3 }                    #~ E0107 the field `a` is there twice
    emit { all: $$parms }                        #~ E0206 a field holds one value
    if ($arg > 9) error("too large")
    if ($arg < 0) error(sprintf("%d is too small", $arg))
    n++
    m[n]++
}
probe end {
    emit { n: n, m: m }                          #~ E0206 a field holds one value, not a table
    if (n > 3) error(n)                          #~ E0201 text is wanted here, this is a number
    if (n > 2) error("a", n)                     #~ E0203 `error` takes 1 argument, not 2
    #~ help: error(sprintf(
    if (n > 1) error()                           #~ E0203 `error` takes 1 argument, not 0
    exit(1)                                      #~ E0203 `exit()` takes no argument
    x = error("")                                #~ E0201 `error()` gives no value
    println(x)
}
