# What cannot be read and is only shown leaves a mark; what is needed stops that run: its output is dropped, updates stay.
#$ shop.c
global runs
probe container("web"):/app/bin.fn("sell") if ($count == 2) {
    printf("%s %d\n", user_string($price), $count)      #= <fault> 2
}
probe container("web"):/app/bin.fn("sell") if ($count == 2) {
    println("never shown")
    if (user_string($price) == "x") println("never")    #= (stopped at line 9: it cannot be read)
}
probe container("web"):/app/bin.fn("sell") {
    runs++
    println(100 / ($count - 1))
    #= 100
    #= (stopped at line 13: division by zero)
    #= 25
    #= -50
}
probe end { println(runs) }  #= 4
