# Aggregates of the five calls 0, 1 and 4 (the early process) and 0 and 1 (the late one), by word and together;
# histograms as SystemTap draws them.
#$ weigh
global by_word, kilos, lines, twos
probe container("1111"):/app/traced.fn("weigh") {
    printf("weigh: %d %s\n", $kilos, $what)
    by_word[user_string($what)] <<< $kilos
    kilos <<< $kilos
    lines <<< $kilos
    twos <<< $kilos * 1000 - 1
}
probe end {
    println(@count(kilos), @sum(kilos), @min(kilos), @max(kilos), @avg(kilos))
    print(@hist_linear(lines, 0, 3, 1))
    print(@hist_log(twos))
}
#= 5 6 0 4 1
#= value |-------------------------------------------------- count
#=     0 |@@                                                 2
#=     1 |@@                                                 2
#=     2 |                                                   0
#=     3 |                                                   0
#=    >3 |@                                                  1
#=
#= value |-------------------------------------------------- count
#=    -4 |                                                   0
#=    -2 |                                                   0
#=    -1 |@@                                                 2
#=     0 |                                                   0
#=     1 |                                                   0
#=       ~
#=   128 |                                                   0
#=   256 |                                                   0
#=   512 |@@                                                 2
#=  1024 |                                                   0
#=  2048 |@                                                  1
#=  4096 |                                                   0
#=  8192 |                                                   0
#=
#= by_word["even"] = count 3, sum 4, min 0, max 4, avg 1
#= by_word["odd"] = count 2, sum 2, min 1, max 1, avg 1
