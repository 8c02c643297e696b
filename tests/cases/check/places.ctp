# Lines, addresses and marks that are not there.
probe container("web"):/app/test_app.line("test_app.c:2") { println("a comment") }  #~ E0113 no code
probe container("web"):/app/test_app.line("test_ap.c:24") { println("no such file") }  #~ E0113 test_ap.c
probe container("web"):/app/test_app.addr(0x1) { println("no instruction") }  #~ E0113 0x1
probe container("web"):/app/test_app.mark("server", "start") { println("no mark") }  #~ E0114 start
