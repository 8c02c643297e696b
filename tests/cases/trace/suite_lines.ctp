# After SystemTap's tests labels and stmt_rel: the line behind a label, each time it is come to; the lines of a function.
#$ suite_places.c
global lines
probe container("web"):/app/bin.line("suite_places.c:70") { println("again", $rounds, $count) }
probe container("web"):/app/bin.line("suite_places.c:74") { println("behind", $rounds) }
#= again 0 3
#= again 2 3
#= behind 4
probe container("web"):/app/bin.line("suite_places.c:*@jumps") { lines++ }
#= lines = 9
