// Loops that compilers unroll, with inlined calls whose turns differ in constants only; and callees that look the same
// but are one call: those assign to a parameter, or unroll a loop of their own.
// Every function prints its own arguments, one line a call: name, then parameter=value in order; behind a space where
// only the count of calls is held.
#include <stdio.h>

#define INLINE static inline __attribute__((always_inline))
volatile int sink;

INLINE void one_line(int d) { printf("one_line d=%d\n", d); }
INLINE void two(int a, long b) {
    printf("two a=%d b=%ld\n", a, b);
    printf(" %ld\n", a + b);
}
INLINE void pointed(int a, const char *p) { printf("pointed a=%d p=%lu\n", a, (unsigned long)p); }
INLINE void tested(int a) {
    printf("tested a=%d\n", a);
    if (sink > a) sink = a;
}
INLINE void assigned(int a) {
    printf("assigned a=%d\n", a);
    a += 4;
    printf(" %d\n", a);
    a += 4;
    printf(" %d\n", a);
}
INLINE void counted(int a) {
    printf("counted a=%d\n", a);
    while (a--) printf(" %d\n", a);
}
INLINE void quiet(int a) {
    sink = a;
    printf("quiet a=%d\n", a);
}
INLINE void nested(int a) {
    for (int i = 0; i < 2; i++) quiet(i * 10 + a);
}
INLINE void written(int a, int *p) {
    printf(" written a=%d\n", a);
    sink = a;
    a = 4;
    *p = 5;
    sink = a;
}
INLINE void stepped(int a, int *p) {
    printf(" stepped a=%d\n", a);
    while (a--) {
        printf(" %d\n", a);
        ++*p;
    }
}
// No turn of these differs from another in a parameter.
INLINE void tick(void) { printf(" tick\n"); }
INLINE void seven(int a) { printf(" seven a=%d\n", a); }
__attribute__((noinline)) void loops(const char *text) {
    printf("loops text=%lu\n", (unsigned long)text);
    for (int q = 0; q < 3; q++) one_line(q);
    for (int q = 0; q < 3; q++) two(q, q * 2l);
    for (int q = 0; q < 3; q++) pointed(q, text);
    for (int q = 0; q < 3; q++) tested(q);
    for (int q = 0; q < 3; q++) assigned(q);
    counted(3);
    assigned(5);
    for (int q = 0; q < 2; q++) nested(q);
    for (int q = 0; q < 3; q++) {
        one_line(q);
        two(q, 1);
    }
    int mine = 0;
    written(mine, &mine);
    sink = mine;
    int steps = 3;
    stepped(steps, &steps);
    sink = steps;
    for (int q = 0; q < 3; q++) tick();
    for (int q = 0; q < 3; q++) seven(7);
}
int main(void) {
    loops("text");
    for (int q = 0; q < 3; q++) one_line(q + 5);
    loops("more");
    return 0;
}
