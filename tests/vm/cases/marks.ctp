# Marks in the midst of statements, with arguments that are computed there; two of one name, each with its own arguments.
#$ priced summed
probe container("1111"):/app/traced.mark("shop", "priced") {
    printf("priced: %d %d %d\n", arg(1), arg(2), arg(3))
}
probe container("1111"):/app/traced.mark("shop", "summed") { printf("summed: %d %d\n", arg(1), arg(2)) }
