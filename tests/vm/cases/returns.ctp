# What functions return, with what was passed on entry; of each call of a recursive function, the innermost first.
#$ twice name_of factorial
probe container("1111"):/app/traced.fn("twice").return {
    printf("twice: %d %d\n", @entry($number), $return)
}
probe container("1111"):/app/traced.fn("name_of").return {
    printf("name_of: %d %s\n", $number, $return)
}
probe container("1111"):/app/traced.fn("factorial").return {
    printf("factorial: %d %d\n", @entry($n), $return)
}
