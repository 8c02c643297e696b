# `emit` makes one event: as text a line of names and values, with texts in quotes.
#$ shop.c
probe container("web"):/app/bin.fn("sell") if ($count > 1) {
    emit { who: user_string($customer), count: $count, big: $count > 3 }
    #= who="ann" count=2 big=0
    #= who="ann" count=5 big=1
}
