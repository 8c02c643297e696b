#include "shared.h"
static __attribute__((noinline)) int helper(int a) { printf("helper a=%d\n", a); return a + 2; }
int from_b(int a, char *b) {
    printf("from_b a=%d b=%lu\n", a, (unsigned long)b);
    return helper(a + 10) + in_header(a, 7);
}
