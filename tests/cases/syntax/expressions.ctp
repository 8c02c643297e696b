probe begin {
    x = 1 + 2 * 3 - 4 / 5 % 6 << 7 >> 8
    x = a < b && c <= d || e > f && g >= h || i == j || k != l
    x = a & b | c ^ d
    x = -a + !b + ~c - -d
    x = *$p + &$q + (*$p).member + (&$q)->member
    x = a ? b : c ? d : e
    x = a ?
        b :
        c
    x = k in m && [a, b] in m || !([a] in m)
    s = "a" . b . "c" . f(d) . e
    s = user_string($a) . name
    x = $a.b.c + $a->b->c[3].d + $next->next.in + $p->delete
    x = @var("name@file.c").x + @cast($p, "struct foo")->x.y + @entry($req->path).z
    x = @defined($x->y) ? $x->y : @enum("NAME") + @sizeof("T")
    print($req$, $req$$, $req->inner$, $a[1]$$, $$parms, $$locals, $$vars)
    print(@hist_log(m), @hist_linear(m, 0, 100, 10), @count(m[1]), @p50(m))
    x = 1 + (2 +
        3
        + 4) * m[1,
        2
    ]
    f(
        1,
        2
    )
    x = arg(1) + pid() + ns_tid()
    x = $_under1 + $größe
}
