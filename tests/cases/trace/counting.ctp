# Maps count by key; whatever nothing in the program reads is printed at the end, the greatest first.
#$ shop.c
global calls, bought, all
probe container("web"):/app/bin.fn("sell") {
    calls++
    bought[user_string($customer)] += $count
    all[user_string($customer), $price]++
}
probe end {
    printf("%d calls\n", calls)                   #= 4 calls
    foreach ([who] in bought-) printf("%s bought %d\n", who, bought[who])
    #= ann bought 7
    #= bob bought 1
    #= eve bought -1
}
#= all["ann", 2] = 1
#= all["ann", 3] = 1
#= all["bob", 2] = 1
#= all["eve", 3] = 1
