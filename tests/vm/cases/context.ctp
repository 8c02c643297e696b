# Who calls, as the container knows it, and events.
#$ who
#$ bare event
probe container("1111"):/app/traced.fn("event") {
    emit { number: $number, text: user_string($text), large: $number > 1 }
}
probe container("1111"):/app/traced.fn("who") {
    printf("who: %d %d %d %s %s %s\n", $number, ns_pid(), uid(), comm(), exe(), probefunc())
}
