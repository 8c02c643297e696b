# After SystemTap's test retvar2: what a return gives, and parameters there, which are those of the entry whatever the
# function made of them.
#$ suite_places.c
probe container("web"):/app/bin.fn("change").return {
    println($return, @entry($by), @entry($w->number), @entry($w->in.x), @entry($w)->number)
    println(@entry($w) == &@var("start"))
    #= 2 10 1 5 11
    #= 1
    #= -1 -4 2 -7 -2
    #= 0
}
probe container("web"):/app/bin.fn("named").return {
    println(user_string($return), $return == @entry($w->in.text))       #= begin 1
}
probe container("web"):/app/bin.fn("follow").return {
    println($return->number, $return->in.x, $return == @entry($w->link), @defined($return->nothing))
    #= -2 -7 1 0
}
