probe begin {  #~ E0001 this `{` is never closed
  if (x) { f() }
