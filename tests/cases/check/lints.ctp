# Warnings say what was probably not meant; a comment takes them back.
const UNUSED = 1                                 #~ W0012 constant `UNUSED` is never used
global nobody                                    #~ W0001 global `nobody` is never used
global hits, last, per, texts
fn unused(a: int) -> int { return a }            #~ W0012 function `unused` is never used
fn half(a: int, b: int) -> int { return a / 2 }  #~ W0012 parameter `b` is never used
fn rest(a: int, _b: int) -> int { return a }
fn bump() { hits = hits + 1 }                    #~ W0014 updates of `hits` by several cpus at once are lost
fn bump_alone() { last = last + 1 }

probe container("web"):/app/test_app.fn("my_function") {
    bump()
    hits = hits + $arg                           #~ W0014 updates of `hits` by several cpus at once are lost
    #~ help: this loses nothing: hits += $arg
    hits *= 2                                    #~ W0014 updates of `hits` by several cpus at once are lost
    per[comm()] = per[comm()] - 1                #~ W0014 updates of `per` by several cpus at once are lost
    #~ help: this loses nothing: per[comm()] -= 1
    hits = max(hits, $arg)                       #~ W0014 updates of `hits` by several cpus at once are lost
    hits += 1
    hits--
    # One thread's own.
    texts[tid()] = texts[tid()] + 1
    # ctp: allow(W0014)
    hits = hits + 1
    x = $arg                                     #~ W0013 `x` is assigned here and never read
    #~ help: to keep it, declare `global x`
    if ($arg > 1 || true) hits++                 #~ W0002 this condition is always true
    if ("a" == "b") hits++                       #~ W0002 this condition is always false
}
probe end {
    hits = hits + 1
    bump_alone()
    println(hits, last, half(1, 2), rest(1, 2))
    exit()
    println("never")                             #~ W0011 never reached
}
