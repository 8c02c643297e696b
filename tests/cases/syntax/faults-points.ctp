# Habits from SystemTap and other tracers, and what ctp has in their place.
probe process("/bin/ls").function("main") { x = ; }
#~ E0008 expected a probe point, found `process`
#~ help: `host:/bin/ls.fn("main")` for a program outside containers
#~ E0001 expected an expression, found `;`
probe process("/bin/ls").function("main").return { }
#~ E0008 expected a probe point, found `process`
#~ help: `container("NAME"):/bin/ls.fn("main").return`
probe container("web"):/app/bin.function("y") { }  #~ E0008 `.function` is not known here
#~ help: write `.fn("name")`
probe container("web"):/app/bin.statement("y@f.c:3") {  }  #~ E0008 `.statement` is not known here
#~ help: write `.line("file.c:42")`
probe container("web"):exe.foo("x") { }  #~ E0008 `.foo` is not known here
#~ help: `.fn("name")`
probe container("web"):exe.lines("x") { }  #~ E0008 `.lines` is not known here
#~ help: did you mean `line`?
probe container("web"):exe.fn("x").exported { }  #~ E0008 `.exported` is not known here
probe container("web"):/app/bin { }  #~ E0008 this point does not say where in the file to probe
#~ help: add `.fn("name")`
probe timer.s(5) { }  #~ E0008 expected a probe point, found `timer`
#~ help: `every(1s)`
probe kernel.function("x") { }  #~ E0008 expected a probe point, found `kernel`
#~ help: ctp probes programs, not the kernel
probe /bin/ls.fn("x") {}  #~ E0008 expected a probe point, found `/`
#~ help: say whose file it is
probe contianer("web"):exe.fn("x") { }  #~ E0008 expected a probe point, found `contianer`
#~ help: did you mean `container`?
probe container(web, ):exe.fn("x") { }  #~ E0001 expected an argument, found `)`
probe begin junk { }  #~ E0001 expected `{` or `if` after the probe point, found `junk`
probe begin when (x) { }  #~ E0001 found `when`
#~ help: `probe … if (EXPR) { … }`
probe every { }  #~ E0001 expected `(`, found `{`
probe  #~ E0008 expected a probe point, found the end of the line
