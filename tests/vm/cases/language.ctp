# Operators with the widths and signs of the program's types, functions, conditions, loops, and texts compared, measured
# and cut.
#$ compute odd
fn level(text: str) -> str {
    if (text < "b") return "low"
    return "high"
}
fn times(a: int, b: int) -> int {
    for (i = 0; i < a; i++) product += b
    return product
}
probe container("1111"):/app/traced.fn("compute") {
    text = user_string($text)
    printf(
        "compute: %d %d %d %d %s\n",
        $a / 3 - $b % 4, $a > 1 && $b < 0, times($a, $b) ^ 5, strlen(text), level(text)
    )
}
probe container("1111"):/app/traced.fn("compute") if ($a % 2 == 1) {
    printf("%s: %u %s\n", "o" . "dd", $a, substr(user_string($text), 0, 3))
}
