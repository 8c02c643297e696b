# After SystemTap's tests entry01 to entry04: what was at the entry, what is returned.
#$ suite.c
probe container("web"):/app/bin.fn("walk").return { println(@entry($depth), $return, @entry(@cast($opaque, "struct node")->value)) }
#= 2 -1 11
#= 1 22 11
#= 0 11 11
