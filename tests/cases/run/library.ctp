# The library on constants (computed when checked) and on what is only known then.
global s = "hello, world", n = -5

probe begin {
    println(strlen(s), strlen("abc"), substr(s, 7, 5), substr("abc", 1, 10), isinstr(s, "lo, w"), isinstr("abc", "d"))
    println(strtol("42abc", 10), strtol("0x1f", 16), strtol("777", 8), strtol(s, 10))
    println(min(n, 3), max(n, 3), abs(n), min(2, 1), max("a" == "a", 0))
    println(ntohs(0x3412), ntohl(0x78563412))
    printf("%s %s\n", ipv4(0x0100007f), errno_str(2))
    println(errno_str(-13), signal_str(11), signal_str(9))
    println(strftime("%Y-%m-%d %H:%M:%S", 86400s + 3661s))
    t = sprintf("%05d|%-4s|%x", 42, "ab", 255)
    println(t, strlen(t))
    println(sprintf("%s", "x") == "x", sample(1))
}
