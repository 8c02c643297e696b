# Texts: joined, cut at the limit and marked, taken apart, looked through; sprintf writes what printf writes.
#$ --strlen 16
probe begin {
    s = "The quick" . " brown"
    println(s, strlen(s), substr(s, 4, 5), isinstr(s, "row"))         #= The quick brown 15 quick 1
    println(s . " fox")                                               #= The quick brown <truncated>
    println(strtol("0x1f", 16), strtol("  -42 apples", 10))           #= 31 -42
    t = sprintf("[%5d|%-5s|%x]", 42, "ab", 255)
    println(t, strlen(t))                                             #= [   42|ab   |ff] 16
    printf("%s|%5s|%.2s|\n", "abc", "abc", "abc")                     #= abc|  abc|ab|
    println(errno_str(2), signal_str(9), ipv4(16777343))              #= ENOENT SIGKILL 127.0.0.1
    println(strftime("%H:%M:%S", walltime()))                         #= 22:13:20
}
