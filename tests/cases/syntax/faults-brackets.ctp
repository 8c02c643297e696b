probe every(1s) { if (x) { y++ }
#~ E0001 this `{` is never closed
probe begin {
    if (x) {  #~ E0001 this `{` is never closed
        y++
    while (z) {
        z++
    }
}
probe end { foo(1, 2 }  #~ E0001 this `(` is never closed
probe end { foo(1,  #~ E0001 this `(` is never closed
  y = 5
  if (x) { y = ) }  #~ E0001 expected an expression, found `)`
}
probe end { a[1 = 5; b++ }  #~ E0001 this `[` is never closed
probe end { a(b[1) }  #~ E0001 this `[` is never closed
probe end { a(b]) }  #~ E0001 expected `)` or `,`, found `]`
probe end { if (x { y++ } }  #~ E0001 this `(` is never closed
probe end { a) }  #~ E0001 expected the end of the statement, found `)`
