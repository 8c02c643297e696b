import "other.ctp"
global a, b = 3, c[1000], d = "text",
       e
const SLOW = 10ms
const LIMIT = 4 * (1 + SLOW)
fn nothing() { }
fn one(a: int) -> int { return a }
fn two(a: int,
       b: str)
{
    return
}
global f; global g
probe begin { } probe end { }
