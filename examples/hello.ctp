probe container("web"):/app/test_app.fn("my_function") {
    printf("Entered my_function with argument: %d\n", $arg)
}
