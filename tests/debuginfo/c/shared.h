#include <stdio.h>
static inline int in_header(int a, long b) {
    printf("in_header a=%d b=%ld\n", a, b);
    return a - (int)b;
}
