# Every form of a probe point: who, where, what.
probe container("web"):/app/bin.fn("name") {}
probe container("web-*"):exe.fn("name").return {}
probe container("3f2a"):lib("libssl.so*").fn("SSL_read").call {}
probe container(name="a", id="b", image="nginx", label="app=web", runtime="docker"):/x.fn("f").inline {}
probe container(
    image="nginx",
    label="app=web"
):/x.fn("f") {}
probe pod("ns/name"):/app/bin.line("file.c:42") {}
probe pod("name", namespace="ns", container="c", label="a=b"):/app/bin.line("file.c:*@fn") {}
probe pid(1234):exe.mark("provider", "name") {}
probe pid(1234):.mark("name") {}
probe pid(1234).fn("without_a_place") {}
probe cgroup("/system.slice/x.service"):/usr/sbin/x.addr(0x1139) {}
probe host:/usr/bin/x.fn("main.(*Server).Serve") {}
probe host:"/odd path/b.fn(x)".fn("ns::Class::get(int)") {}
probe host:/paths//may.hold/#odd;(signs.fn("init@src/db.c") {}
probe begin, end, every(1s) {}
probe host:/x.fn("may_match_nothing")?, host:/x.fn("f").call.return? {}

# Points on several lines, a condition, the brace on its own line.
probe host:/x.fn("a"),
      host:/x.fn("b")
if ($x > 1)
{
}

# Without a body.
probe host:/x.fn("main")
probe host:/x.fn("main").return if ($x == 1)
