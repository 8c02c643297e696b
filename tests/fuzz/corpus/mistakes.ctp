global a, a, b[x], c = 1 / 0
const A = B
const B = A
fn f(x: int) -> str { return f(x) . "a" }
probe container("wbe"):/app/target.fn("handel") { printf("%d %s\n", $n); a = "x"; a++; nowhere() }
probe container("web"):/app/target.fn("handle") { a[$n] = "x"; a[1, 2]++; b <<< "t"; $n = 3; if (1) 2 / 0; @count(a) }
probe container("web"):/app/target.fn("*") { print($x) }
probe begin { print($n); delete a; exit(1) }
