# Parameters are the function's own; globals are everybody's.
const LIMIT = 400
global calls

fn label(code: int) -> str { return code < LIMIT ? "ok" : failure(code) }
fn failure(code: int) -> str {
    if (code < 500) return "client" else return "server"
}
fn power(base: int, times: int) -> int {
    calls++
    for (result = 1; times > 0; times--) result *= base
    return result
}
fn first(_a: str, b: str) -> str { return b }
fn shout(what: str) { println(what . "!") }

probe begin {
    times = 10
    println(label(200), label(404), label(503))
    println(power(2, times), power(3, 4), times, calls)
    shout(first("a", "b") . "c")
    power(2, 2)
    println(calls)
}
