# Integers of every width, signed and unsigned, in registers and on the stack: as the program itself prints them.
# Trace kinds.c in a container named web.
probe container("web"):/app/kinds.fn("integers") {
    printf(
        "i8=%d u8=%u i16=%d u16=%u i32=%d u32=%u i64=%d u64=%u\n",
        $i8, $u8, $i16, $u16, $i32, $u32, $i64, $u64
    )
}
