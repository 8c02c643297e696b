# Two containers of one image, and a third of another build with a file of its own: each by its own name.
#@ early twin other late
#$ order
global calls
probe container("1111"):/app/traced.fn("order"),
    container("2222"):/app/traced.fn("order"),
    container("3333"):/app/traced.fn("order") {
    printf("order: %d %s %s %s\n", $number, $what, $kind, $nowhere)
    calls[substr(container_id(), 0, 4)]++
}
#= calls["1111"] = 5
#= calls["2222"] = 2
#= calls["3333"] = 2
