# A condition filters hits; `exit()` ends the run: the fourth call is not seen.
#$ shop.c
probe container("web"):/app/bin.fn("sell") if ($count > 1) {
    printf("%s in %s: %d\n", probefunc(), container(), $count)
    #= sell in web: 2
    #= sell in web: 5
    if ($count == 5) exit()
}
probe container("web"):/app/bin.fn("sell") if ($count < 0) { println("never") }
probe end { println("over") }  #= over
