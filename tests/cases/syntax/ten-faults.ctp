prob begin { f() }  #~ E0001 found `prob`
global lat slow  #~ E0001 found `slow`
const SLOW = 1.5ms  #~ E0004 numbers are whole
probe process("x").function("y") {  #~ E0008 found `process`
    printf("Entered\n)
    #~ E0002 this string never ends
    x = 5 +  #~ E0001 expected an expression, found the end of the line
}
probe container("web"):/app/bin.fn("f") {
    y == 3  #~ E0006 this statement has no effect
    foreach (k of m) { z = k }  #~ E0001 found `of`
    s = "\q"  #~ E0007 `\q` is no escape
    f(1, 2  #~ E0001 this `(` is never closed
}
