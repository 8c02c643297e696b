# Parameters of every width and sign, the ninth and later ones too; text, also longer than a string may be; an enumerator
# by its name; an address that holds nothing.
#$ integers order
probe container("1111"):/app/traced.fn("integers") {
    printf("integers: %d %u %d %u %d %u %d %u\n", $i8, $u8, $i16, $u16, $i32, $u32, $i64, $u64)
}
probe container("1111"):/app/traced.fn("order") {
    printf("order: %d %s %s %s\n", $number, $what, $kind, $nowhere)
}
