# Aggregates take values with <<< and are asked with @.
global took, per, plain = 0, both, wide

probe container("web"):/app/test_app.fn("my_function") {
    took <<< $arg
    per[comm()] <<< $arg * 2
    if (@count(took) > 100) println(@avg(took), @min(per[comm()]), @p99(per[comm()]))
    println(@hist_log(took))                     #~ E0206 a histogram belongs to `begin`, `end` and `every`
    println(@avg(per))                           #~ E0206 printing `@avg` of each entry of `per` belongs to `begin`
    plain++
}
probe end {
    print(took)
    println(per)
    println(@hist_log(per), @hist_linear(took, 0, 100, 10))
    println(@count(took), @sum(took), @min(took), @max(took), @avg(took), @p50(took), @p90(took))
    println(@hist_log(per["x"]))

    println(took + 1)                            #~ E0201 `took` is an aggregate: say what of it is wanted
    #~ help: @count(took)
    println(per["x"])                            #~ E0201 `per` is an aggregate: say what of it is wanted
    println(@count(per), @p90(per))
    println(@count(per) + 1)                     #~ E0201 `per` is a map: a key is missing
    #~ help: print(@count(per)) the count of each
    println(@count(plain))                       #~ E0207 `plain` is used as an aggregate here
    plain <<< 3                                  #~ E0207 `plain` is used as an aggregate here
    took = 3                                     #~ E0207 `took` is an aggregate elsewhere, and a value here
    took <<< "text"                              #~ E0201 a number is wanted here
    println(@count(3))                           #~ E0201 this is no aggregate
    println(@count(took, 2))                     #~ E0203 `@count` takes 1 argument, not 2
    println(@cuont(took))                        #~ E0108 there is no `@cuont`
    #~ help: did you mean `@count`?
    x = @hist_log(took)                          #~ E0206 `@hist_log` draws: it can only be printed
    println(x)
    printf("%s\n", @hist_log(took))              #~ E0206 `@hist_log` draws: it can only be printed
    println(@hist_linear(took, 0, 100))          #~ E0203 `@hist_linear` takes 4 arguments, not 3
    println(@hist_linear(took, 0, 100, 0))       #~ E0201 a bucket is at least 1 wide
    println(@hist_linear(took, 100, 0, 10))      #~ E0201 0 is not above 100
    println(@hist_linear(took, 0, 5000, 1))      #~ E0201 these are 5001 buckets, more than 1022
    println(@hist_linear(took, 0, plain, 1))     #~ E0209 this is not known before the program runs
}
probe begin {
    both[1] = 2
    both[2] <<< 3                                #~ E0207 `both` is used as an aggregate here
    wide <<< both[1]
}
