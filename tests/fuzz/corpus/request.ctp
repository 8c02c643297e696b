# Members, indices, dumps and casts of the fuzzed target.
global g, calls, lat, m[100], text = "", slow
probe container("web"):/app/target.fn("handle") if ($n > 1 && $req->status != 0) {
    printf("%s %d %s %d %s\n", $text, $n, $kind, $req->items[$n % 4], user_string($req->path))
    x = $req->next->both.low + (*$req).flags - $req->items[1] * @sizeof("struct request")
    m[user_string($req->path), $n]++
    emit { path: $req->path, n: $n, next: $req->next->status, }
    print($req$); print($$parms)
}
probe container("web*"):/app/inlined.fn("mix") { lat <<< $arg; calls[container(), pid()] += 1 }
