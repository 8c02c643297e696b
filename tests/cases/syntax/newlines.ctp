# A newline goes on after a binary operator, a comma, `{`, and inside brackets; elsewhere it ends.
probe begin {
    x = a +
        b
    x =
        c
    y = (a
        + b
        - c)
    z = m[a,
          b]
    x = a ||

        b
    ++x
    !f() && g()
}
