global a = 1.5  #~ E0004 numbers are whole
global b = 1.5ms  #~ E0004 numbers are whole
#~ help: write `1500us`
global c = 3sec  #~ E0004 `sec` is no unit
#~ help: did you mean `3s`?
global d = 99999999999999999999  #~ E0004 `99999999999999999999` does not fit in 64 bits
global e = 20000000000s  #~ E0004 does not fit in 64 bits
global f = 0x  #~ E0004 `0x` has no digits
global g = 017  #~ E0004 `017` begins with 0
#~ help: `0o17` for an octal number
global h = 0b102  #~ E0004 `2` is no binary digit
global i = 1__0  #~ E0004 `_` stands between digits only
probe begin {
  x = 'hello'  #~ E0001 single quotes hold one character
  #~ help: `"hello"`
  x = ''  #~ E0001 there is no character between the quotes
  x = "bad \q, good \n, bad \u{110000}"  #~ E0007 `\q` is no escape
  #~ E0007 `\u{110000}` is no Unicode character
  x = "\xg"  #~ E0007 `\x` needs one or two hexadecimal digits
  x = '\777'  #~ E0007 larger than a byte
  x = 'a
  #~ E0002 this character never ends
  printf("unterminated)
  #~ E0002 this string never ends
  #~ help: close it with `"`
  if (x == "abc) {
  #~ E0002 this string never ends
    y = "ends here\"
    #~ E0002 this string never ends
  }
  f("a", "b
  #~ E0002 this string never ends
  z = 1
}
