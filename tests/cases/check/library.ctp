# The library: as many arguments as there are, each of its type.
global t, s = ""

probe container("web"):/app/kinds.fn("order") {
    println(user_string($item), user_string($item, 4), user_buffer($item, 2))
    println(image(), pod(), runtime(), exe(), walltime(), caller(), ustack(), ustack(4))
    println($itm)                                #~ E0105 `order` has no parameter or variable `itm`
    #~ help: did you mean `item`?
    println(user_string())                       #~ E0203 `user_string` takes 1 or 2 arguments, not 0
    println(user_buffer($item))                  #~ E0203 `user_buffer` takes 2 arguments, not 1
    #~ help: user_buffer(address, bytes)
    println(user_string($item, "4"))             #~ E0201 a number is wanted here
    println(ustack(0))                           #~ E0201 a stack is shown with 1 to 127 frames
    println(ustack(t))                           #~ E0209 this is not known before the program runs
    println(elapsed())                           #~ E0206 `elapsed()` exists only at `.return`
    if ($item == "x") t++                        #~ E0204 this is the address of a text
    #~ help: user_string($item)
}
probe end {
    println(strlen(s), substr(s, 1, 2), strtol(s, 10), isinstr(s, "a"), sprintf("%d", t), strftime("%H", walltime()))
    println(min(t, 2), max(t, 2), abs(-t), ntohs(t), ntohl(t), ipv4(t), ipv6(s), errno_str(2), signal_str(11))
    if (sample(10)) println(now())
    println(substr(s, 1))                        #~ E0203 `substr` takes 3 arguments, not 2
    #~ help: substr(text, start, length)
    println(strlen(t))                           #~ E0201 text is wanted here
    println(min(t, "2"))                         #~ E0201 a number is wanted here
    println(now(1))                              #~ E0203 `now()` takes no argument
    println(user_string(t))                      #~ E0206 `user_string` needs a task that hit a probe
    println(ustack())                            #~ E0206 `ustack()` needs a task that hit a probe
    println(sprintf("%d"))                       #~ E0202 the format has 1 conversion, but 0 values follow it
    println(ubacktrace())                        #~ E0108 there is no function `ubacktrace`
    #~ help: here it is written `ustack()`
    strlen(s)                                    #~ E0006 the value of `strlen()` is not used
}
