# Members, types, enumerators and elements that the program does not have.
probe container("web"):/app/kinds.fn("order") {
    println(@cast($item, "struct timespec")->tv_secs)    #~ E0120 tv_secs
    println($size == @enum("MEDIUMM"))                    #~ E0121 MEDIUMM
    println(@cast($item, "struct timespek")->tv_sec)      #~ E0121 struct timespek
    println(@var("size_names")[3])                        #~ E0220 3
}
