# Who called: the process as the host knows it, and as its container does.
probe container("web"):exe.fn("my_function") if ($arg % 20 == 0) {
    printf("%s: pid %d here, %d in the container, at %d ns\n", container(), pid(), ns_pid(), now())
}
