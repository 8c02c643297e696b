# What a function is called with: numbers, texts.
#$ shop.c
probe container("web"):/app/bin.fn("sell") {
    printf("%s %d %d\n", user_string($customer), $count, $price)
    #= ann 2 3
    #= bob 1 2
    #= ann 5 2
    #= eve -1 3
}
