# A global has one type, found from all its uses, wherever they stand.
global a, b, c, keyed, texts, first

probe end { println(a, b, c) }
probe begin {
    a = b
    b = c
    c = "text"
    keyed[1, "x"] = c
    texts[keyed[1, "x"]]++
    foreach (t in texts) first = t
    println(first . "!")

    a = 3                                        #~ E0207 `a` holds text, this is a number
    keyed["x", 1] = c                            #~ E0207 this part of `keyed`'s key is int elsewhere
    #~ E0207 this part of `keyed`'s key is str elsewhere
    keyed[1] = c                                 #~ E0207 the key of `keyed` has 2 parts, not 1
    println(keyed)
    keyed = 1                                    #~ E0201 `keyed` is a map: a key is missing
    a[1] = 1                                     #~ E0207 `a` is one value, not a map
    l = 1
    l = "x"                                      #~ E0207 `l` holds a number, this is text
    println(l, l["x"])                           #~ E0106 no global is named `l`
}
