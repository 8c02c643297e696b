# `<<<` feeds an aggregate; what is asked of it is worked out when it is asked.
#$ shop.c
global price, shape
probe container("web"):/app/bin.fn("sell") {
    price[user_string($customer)] <<< $price
    shape <<< $count
}
probe end {
    printf("%d calls of ann, %d together\n", @count(price["ann"]), @sum(price["ann"]))  #= 2 calls of ann, 5 together
    printf("%d to %d, %d on average\n", @min(shape), @max(shape), @avg(shape))          #= -1 to 5, 1 on average
    print(price)
    #= price["ann"] = count 2, sum 5, min 2, max 3, avg 2
    #= price["bob"] = count 1, sum 2, min 2, max 2, avg 2
    #= price["eve"] = count 1, sum 3, min 3, max 3, avg 3
    print(@hist_linear(shape, 0, 4, 2))
    #= value |-------------------------------------------------- count
    #=    <0 |@                                                  1
    #=     0 |@                                                  1
    #=     2 |@                                                  1
    #=     4 |@                                                  1
    #=
}
probe end {
    println(@avg(price["nobody"]))  #= <fault>
}
