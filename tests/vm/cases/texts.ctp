# Texts measured, cut, searched, read as numbers, put together.
#$ say
probe container("1111"):/app/traced.fn("say") {
    text = user_string($text)
    printf(
        "say: %d [%s] %d %s %s %d %s\n",
        strlen(text), substr(text, 2, 3), isinstr(text, "ab"), sprintf("%05d|%-4d|%x", $number, $number, $number),
        user_string($text, 2), strtol(text, 10), text . sprintf("%d", $number)
    )
}
