# After SystemTap's test pretty-uprobes: all parameters together; whether there is what can only be printed.
#$ suite_places.c
probe container("web"):/app/bin.fn("deep") if ($value == 45) { println($$parms) }       #= value=45
probe container("web"):/app/bin.fn("jumps") {
    println($$parms)                                                                    #= count=3
    println(@defined($$parms), @defined($$return), @defined($count$), @defined($nothing$$))  #= 1 0 1 0
}
probe container("web"):/app/bin.fn("jumps").return { println(@defined($$return), $$return) }  #= 1 return=4
