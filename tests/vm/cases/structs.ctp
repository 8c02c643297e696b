# Members of structs behind pointers: nested ones, elements, bit-fields, a union, an enumerator by its name, a pointer
# that is not always one, and a variable of the whole program.
#$ handle bits
probe container("1111"):/app/traced.fn("handle") {
    printf(
        "handle: %d %s %s %d %d %d %d\n",
        $req->number, $req->kind, $req->from.city, $req->from.zip, $req->sizes[$req->kind],
        $req->before->number, @var("served")
    )
    printf("bits: %u %u %d %u\n", $req->urgent, $req->level, $req->shift, $req->either.bytes[1])
}
