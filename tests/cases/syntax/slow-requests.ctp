const SLOW = 10ms
global lat, slow

fn label(code: int) -> str { return code < 400 ? "ok" : "failed" }

probe container("web-*"):/app/bin.fn("handle_request").return {
    lat[container(), label($return)] <<< elapsed()
    if (elapsed() > SLOW) {
        slow[@entry(user_string($req->path))]++
        emit { path: $req->path, status: $return, took: elapsed() }
    }
}
probe every(5s) {
    foreach ([c, l] in lat @avg- limit 10) printf("%s %s n=%d avg=%dus\n", c, l, @count(lat[c, l]), @avg(lat[c, l]) / 1us)
}
probe end { print(@hist_log(lat)) }
