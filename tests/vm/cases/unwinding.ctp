# The return of a function of a program that throws, of which the code proves that nothing is thrown through it.
#$ charge
probe container("1111"):/app/unwinding.fn("charge").return {
    printf("charge: %d %d\n", @entry($amount), $return)
}
