# Functions have types, call others that stand below them, and never themselves.
const LIMIT = 400
global seen

fn label(code: int) -> str { return code < LIMIT ? "ok" : failure(code) }
fn failure(code: int) -> str {
    if (code < 500) return "client"
    else return "server"
}
fn note(what: str) { seen[what]++ }
fn who() -> str { return comm() . "/" . container() }
fn dump() { foreach (w in seen) println(w, seen[w]) }

probe container("web"):/app/test_app.fn("my_function") {
    note(label($arg))
    println(who())
    label($arg)
    dump()                                       #~ E0206 `dump` uses `foreach`, which belongs to `begin`, `end`
}
probe end {
    dump()
    println(who())                               #~ E0206 `who` uses `comm()`, which needs a task
    println(label())                             #~ E0203 `label` takes 1 argument, not 0
    println(label(1, 2))                         #~ E0203 `label` takes 1 argument, not 2
    println(label("200"))                        #~ E0201 a number is wanted here
    note(200)                                    #~ E0201 text is wanted here
    println(note("x"))                           #~ E0201 `note` gives no value
    #~ help: say what it gives: fn note(…) -> int
    println(lable(3))                            #~ E0108 there is no function `lable`
    #~ help: did you mean `label`?
}

fn even(n: int) -> int { return n == 0 || odd(n - 1) }   #~ E0211 `even` calls itself: by way of odd, even
fn odd(n: int) -> int { return n != 0 && even(n - 1) }
fn again() { again() }                           #~ E0211 `again` calls itself
fn empty(n: int) -> int {
    if (n) return 1
}                                                #~ E0201 `empty` can end without giving a value
fn wrong() -> int { return "1" }                 #~ E0201 a number is wanted here
fn bare() -> int { return }                      #~ E0201 `bare` gives int: a value is missing
fn more() { return 3 }                           #~ E0201 `more` gives no value
fn arg() -> int { return $arg }                  #~ E0107 the language has a function `arg`
#~ E0206 `$arg` belongs to the handler of a probe
#~ help: give the function a parameter
fn skip() { next }                               #~ E0206 `next` ends a handler; this is a function
#~ help: `return` ends a function
fn two(a: int, a: int) -> int { return a }       #~ E0107 two parameters are called `a`
fn late() -> int { return elapsed() }            #~ E0206 `elapsed()` exists only at `.return`
probe begin { even(1); again(); println(empty(1), wrong(), bare(), two(1, 2), late()); more(); skip(); arg() }
probe begin { return 3 }                         #~ E0206 `return` belongs to a function
