global lat, slow
probe container("web"):exe.fn("handle*").return {
    lat[probefunc(), $return] <<< elapsed()
    if (elapsed() > 10ms) slow[@entry(user_string($req->path))]++; else next
}
probe every(5s) { foreach ([c, l] in lat @avg- limit 10) printf("%s %d %d\n", c, l, @count(lat[c, l])) }
probe end { print(@hist_log(lat)); delete lat }
