# Runs that are stopped, by a text that cannot be read and by a division by zero: they print nothing, what they have changed
# stays, and the others go on.
#$ tried shared
global runs, kilos
probe container("1111"):/app/traced.fn("weigh") {
    runs++
    printf("shared: %d\n", 12 / $kilos)
    kilos += $kilos
}
probe container("1111"):/app/traced.fn("order") {
    printf("tried: %d\n", $number)
    runs++
}
probe container("1111"):/app/traced.fn("order") {
    println("never shown")
    runs++
    if (user_string($nowhere) == "x") println("never")
}
#= runs = 15
#= kilos = 6
