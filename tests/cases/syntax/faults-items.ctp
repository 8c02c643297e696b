prob begin { }  #~ E0001 expected `probe`, `global`, `const`, `fn` or `import`, found `prob`
#~ help: did you mean `probe`?
function f() { }  #~ E0001 found `function`
#~ help: functions are written `fn name(
fn f(a) { }  #~ E0001 expected `:`, found `)`
#~ help: parameters have types
fn f(a: long) { }  #~ E0001 expected `int` or `str`, found `long`
#~ help: write `int`
fn f(a: int): int { }  #~ E0001 expected `{` or `->`, found `:`
#~ help: behind `->`
fn f(a: int)  #~ E0001 expected `{` or `->`, found the end of the line
-> int { return 1 }
global x y  #~ E0001 found `y`
#~ help: `global a, b`
const A  #~ E0001 expected `=`, found the end of the line
const B =   #~ E0001 expected an expression, found the end of the line
import other  #~ E0001 expected a string, found `other`
int x  #~ E0001 found `int`
#~ help: their types are inferred
printf("text")  #~ E0001 found `printf`
#~ help: statements stand in a probe
probe begin { f() }
)  #~ E0001 found `)`
probe begin { f() }
}  #~ E0001 this `}` closes nothing
