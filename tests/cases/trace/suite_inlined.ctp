# After SystemTap's tests inlinedvars and const_value: variables of calls that were inlined, one into the other, and those
# that the compiler knows the value of.
#$ suite_places.c
probe container("web"):/app/bin.fn("outside") {
    println($number, $limit)        #= 5 40
    println(user_string($name))     #~ W0003 what it points to is no longer in memory
    #= <optimized out>
}
probe container("web"):/app/bin.fn("middle").inline { println("middle", $base, $step) }
probe container("web"):/app/bin.fn("deep") { println("deep", $value) }
probe container("web"):/app/bin.line("suite_places.c:43") { println("twice", $twice) }
#= middle 5 3
#= deep 8
#= twice 16
#= deep 3
#= twice 6
#= middle 40 5
#= deep 45
#= twice 90
#= deep 5
#= twice 10
