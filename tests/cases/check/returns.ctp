# At .return parameters are meant as they were on entry, and calls have taken a time.
global took

probe container("web"):/app/test_app.fn("my_function").return {
    took[comm()] <<< elapsed()
    println(@entry($arg) + 1)
    println($arg)                                #~ W0007 `$arg` is its value on entry
    println(@entry($arg, 1))                     #~ E0203 @entry
    println(@entry(@entry($arg)))                #~ E0206 `@entry` in `@entry`
}
probe container("web"):/app/test_app.fn("my_function") {
    println(@entry($arg))                        #~ E0206 `@entry` exists only at `.return`
    println($return)                             #~ E0206 `$return` exists only at `.return`
}
probe end { println(took) }
