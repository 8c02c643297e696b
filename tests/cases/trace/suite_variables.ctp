# After SystemTap's tests at_var, bitfield, cast-user, externalvar and pointer_array: variables of the whole program,
# bit-fields, addresses of no type, elements of arrays of pointers.
#$ suite.c
probe container("web"):/app/bin.fn("bit_fields") {
    println($b->low, $b->sign, $b->wide == 0x123456789a, $b->flag)  #= 5 -3 1 1
    println(@var("counter"), @var("table@suite.c")[2])  #= 7 30
}
probe container("web"):/app/bin.fn("walk") if ($depth == 1) {
    println(@cast($opaque, "struct node")->value, @cast($opaque, "struct node")->next->value)  #= 11 22
    println(@var("head")->next->colour, @var("head")->colour == 5)  #= BLUE 1
    println(user_string(@var("head")->names[1]), user_string(@cast($opaque, "struct node")->next->names[2]))  #= two c
}
probe container("web"):/app/bin.fn("text_of") { println(user_string($words[0]), user_string($words[$which]), $which) }  #= zero two 2
