probe begin {
  x = (1 + ) * 2  #~ E0001 expected an expression, found `)`
  foo(a b)  #~ E0001 expected `)` or `,`, found `b`
  int x = 5  #~ E0001 expected the end of the statement, found `x`
  #~ help: locals need no declaration: write `x = …`
  x = 5 y = 6  #~ E0001 expected the end of the statement, found `y`
  #~ help: a newline or `;` stands between two statements
  while x { y++ }  #~ E0001 expected `(`, found `x`
  #~ help: `while (…)`
  if x == 1 { y = 7 8 }  #~ E0001 expected `(`, found `x`
  #~ E0001 expected the end of the statement, found `8`
  else { }  #~ E0001 this `else` has no `if` before it
  elif (x) { }  #~ E0001 `elif` is not a word of the language
  #~ help: write `else if (…)`
  for (i = 0; i < 10 i++) { x = = 5 }  #~ E0001 expected `;`, found `i`
  #~ E0001 expected an expression, found `=`
  foreach (k of m) { }  #~ E0001 found `of`
  #~ help: write `foreach (key in map)`
  foreach (a, b in m) { }  #~ E0001 found `,`
  #~ help: several keys stand in brackets
  emit { a = 1 }  #~ E0001 expected `:`, found `=`
  #~ help: a field is written `name: value`
  emit { a, b }  #~ E0001 expected `:`, found `,`
  #~ help: each field has a name
  emit x  #~ E0001 expected `{`, found `x`
  a and b  #~ E0001 found `and`
  #~ help: write `&&`
  x := 5  #~ E0001 found `:=`
  #~ help: write `=`
  x = y === 5  #~ E0001 found `=`
  #~ help: write `==`
  f("a" "b")  #~ E0001 found a string
  #~ help: `.` joins two texts
  x = next  #~ E0001 expected an expression, found `next`
  x = +5  #~ E0001 expected an expression, found `+`
  #~ help: leave the `+` out
  x = $  #~ E0001 expected a name, found the end of the line
  x = a ? b  #~ E0001 expected `:`, found the end of the line
  if (x)  #~ E0001 expected a statement, found the end of the line
}
