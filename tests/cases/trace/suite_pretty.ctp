# After SystemTap's test pretty-uprobes: values shown whole, one level deep or to the depth.
#$ suite_places.c
probe container("web"):/app/bin.fn("show") {
    println($all$)      #= {.in={...}, .odd=0x1234, .u=255, .c=-1, .low=6, .high=9, .kind=SOME}
    println($all$$)     #= {.in={.port=443, .word="a\"b", .bytes=[1, 2, 255]}, .odd=0x1234, .u=255, .c=-1, .low=6, .high=9, .kind=SOME}
    println($all->in$)  #= {.port=443, .word="a\"b", .bytes=[...]}
    println($all->in.bytes$, $all->kind, $letter, $byte)    #= [1, 2, 255] SOME A 200
}
