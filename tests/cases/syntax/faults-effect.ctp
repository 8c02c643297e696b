# `x = a` and a line `-c` are never two silent statements.
probe begin {
  x = a
  -c  #~ E0006 this line begins with `-` and is a statement of its own without effect
  #~ help: end that line with `-`, or put the whole in parentheses
  x = a
  + c  #~ E0001 a line cannot begin with the operator `+`
  #~ help: end that line with `+`
  x = a
  && c  #~ E0001 a line cannot begin with the operator `&&`
  x = a
  . c  #~ E0001 a line cannot begin with the operator `.`
  x = a
  ? b : c  #~ E0001 a line cannot begin with the operator `?`
  x = f
  (y)  #~ E0006 this statement has no effect
  a == b  #~ E0006 this statement has no effect
  #~ help: to assign, write `=`
  foo  #~ E0006 this statement has no effect
  #~ help: to call a function, write `foo()`
  $x->y  #~ E0006 this statement has no effect
  m[1]  #~ E0006 this statement has no effect
  "text"  #~ E0006 this statement has no effect
  c ? a : b  #~ E0006 this statement has no effect
  for (i; i < 3; i + 1) f()  #~ E0006 this statement has no effect
  #~ E0006 this statement has no effect
}
