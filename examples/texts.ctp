# Text, enumerators by name, truth values and characters.
# Trace kinds.c in a container named web.
probe container("web"):/app/kinds.fn("order") {
    printf("order %u: %s, %s, express=%s, shelf %c\n", $number, $item, $size, $express, $shelf)
}
