probe begin { x = "abc
 y = (1 + [2
 foo(
}}
global a b
probe host:/x {
/* never