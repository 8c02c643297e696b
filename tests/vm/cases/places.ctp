# Where a probe may stand besides a function's beginning: a line with its locals, a mark with its arguments, what was
# inlined, a library of the container's.
#$ account sold add ship
probe container("1111"):/app/traced.line("traced.c:12") {
    printf("account: %d %d\n", $number, $total)
}
probe container("1111"):/app/traced.mark("shop", "sold") {
    printf("sold: %d %s\n", arg(1), user_string(arg(2)))
}
probe container("1111"):/app/traced.fn("add") { printf("add: %d\n", $number) }
probe container("1111"):lib("libshop.so").fn("ship") { printf("ship: %d %s\n", $number, $city) }
