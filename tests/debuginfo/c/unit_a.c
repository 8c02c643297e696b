// With unit_b.c: static functions of one name, a function of a header in both, and one that only its other unit calls.
#include "shared.h"
int sink;
static __attribute__((noinline)) int helper(int a) { printf("helper a=%d\n", a); return a + 1; }
int from_b(int a, char *b);
static __attribute__((used)) int never_called(int a) { return a; }
int main(void) {
#ifdef UNROLL
#pragma GCC unroll 3
#endif
    for (int i = 0; i < 3; i++) {
        sink = helper(i);
        sink = in_header(i, i * 2l);
        sink = from_b(i, "text");
    }
    return 0;
}
