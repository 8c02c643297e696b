# What is written and never read is printed at the end.
global count, per, took, text, read

probe begin {
    count += 3
    per["b", 1] = 4; per["a", 1] = 4; per["c", 2] = 9
    took <<< 5
    text = "x\"y"
    read++
}
probe end { println(read) }
