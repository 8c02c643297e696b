#!/usr/bin/env -S ctp run
# every call of my_function in container web, whatever its image holds and wherever it runs
probe container("web"):/app/bin.fn("my_function") {
    printf("Entered my_function with argument: %d\n", $arg)
}
