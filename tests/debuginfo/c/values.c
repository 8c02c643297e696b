// Every function first prints its own arguments, one line a call: name, then parameter=value in order. Integers,
// characters, bools and enums as numbers, pointers as numbers, doubles by their bits.
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define NOINLINE __attribute__((noinline, noclone))
#define INLINE static inline __attribute__((always_inline))

enum colour { RED, GREEN = 7, BLUE = -3 };
struct small { int x; short y; char c; };
struct pair { long first, second; };
struct large { long a, b, c; };
struct bits { unsigned low : 3; int mid : 5; unsigned long high : 40; };
typedef unsigned char byte;

volatile int sink;
// Of code that the compiler instruments: under a debugger it must not look for leaks.
const char *__asan_default_options(void) { return "detect_leaks=0"; }
static unsigned long raw(double d) { unsigned long u; memcpy(&u, &d, 8); return u; }

NOINLINE void widths(signed char a, unsigned char b, short c, unsigned short d, int e, unsigned int f) {
    printf("widths a=%d b=%d c=%d d=%d e=%d f=%u\n", a, b, c, d, e, f);
}
NOINLINE void longs(long a, unsigned long b, long long c, size_t d, int64_t e, byte f) {
    printf("longs a=%ld b=%lu c=%lld d=%zu e=%ld f=%d\n", a, b, c, d, e, f);
}
NOINLINE void kinds(bool a, char b, enum colour c, const char *d, void *e) {
    printf("kinds a=%d b=%d c=%d d=%lu e=%lu\n", a, b, c, (unsigned long)d, (unsigned long)e);
}
NOINLINE int many(int a, int b, int c, int d, int e, int f, int g, long h, char i) {
    printf("many a=%d b=%d c=%d d=%d e=%d f=%d g=%d h=%ld i=%d\n", a, b, c, d, e, f, g, h, i);
    sink = a;
    return a + i;
}
NOINLINE void mixed(double a, int b, double c, const char *d) {
    printf("mixed a=%lu b=%d c=%lu d=%lu\n", raw(a), b, raw(c), (unsigned long)d);
}
NOINLINE void by_value(struct small s, int after, struct pair p) {
    printf("by_value s.x=%d s.y=%d s.c=%d after=%d p.first=%ld p.second=%ld\n", s.x, s.y, s.c, after, p.first, p.second);
}
NOINLINE void by_stack(int before, struct large l, int after) {
    printf("by_stack before=%d l.a=%ld l.b=%ld l.c=%ld after=%d\n", before, l.a, l.b, l.c, after);
}
NOINLINE void bit_fields(struct bits b) {
    printf("bit_fields b.low=%u b.mid=%d b.high=%lu\n", b.low, b.mid, (unsigned long)b.high);
}
NOINLINE struct large returns_struct(int a, long b) {
    printf("returns_struct a=%d b=%ld\n", a, b);
    return (struct large){ a, b, a + b };
}
NOINLINE int recurse(int depth, int sum) {
    printf("recurse depth=%d sum=%d\n", depth, sum);
    if (depth == 0) return sum;
    int inner = recurse(depth - 1, sum + depth);
    sink = inner;
    return inner + 1;
}
NOINLINE int variadic(int count, const char *what, ...) {
    va_list rest;
    printf("variadic count=%d what=%lu\n", count, (unsigned long)what);
    va_start(rest, what);
    int sum = 0;
    for (int i = 0; i < count; i++) sum += va_arg(rest, int);
    va_end(rest);
    return sum;
}
NOINLINE void big_frame(int a, int b) {
    char room[70000];
    printf("big_frame a=%d b=%d\n", a, b);
    memset(room, a, sizeof room);
    sink = room[b];
}
NOINLINE int address_taken(int a, int b) {
    int *volatile p = &a;
    printf("address_taken a=%d b=%d\n", a, b);
    *p += b;
    return a;
}
NOINLINE int early(int *p, int n) {
    if (!p) return -1;
    printf("early p=%lu n=%d\n", (unsigned long)p, n);
    return *p + n;
}
INLINE int inlined(int a, long b) {
    printf("inlined a=%d b=%ld\n", a, b);
    return a + (int)b;
}
INLINE int outer_inlined(int a) {
    printf("outer_inlined a=%d\n", a);
    return inlined(a * 2, 5) + a;
}
static int once(int a, const char *b) {
    printf("once a=%d b=%lu\n", a, (unsigned long)b);
    return a * 3;
}
NOINLINE int host(int n, long m) {
    printf("host n=%d m=%ld\n", n, m);
    int sum = 0;
    for (int i = 0; i < n; i++) sum += inlined(i, m + i);
    return sum + outer_inlined(n);
}
NOINLINE long vla(int n, long m) {
    long room[n];
    printf("vla n=%d m=%ld\n", n, m);
    for (int i = 0; i < n; i++) room[i] = m;
    long *volatile p = room;
    return p[n - 1];
}

int main(int argc, char **argv) {
    int local = 5;
    (void)argv;
    for (int round = 0; round < 3; round++) {
        widths(-128 + round, 255, -32768, 65535, -2147483647 - 1, 4294967295u);
        longs(-1, 18446744073709551615ul, 1ll << 62, 3, -5, 200);
        kinds(round & 1, 'a' + round, round == 0 ? RED : round == 1 ? GREEN : BLUE, "text", &local);
        sink = many(1, -2, 3, -4, 5, -6, 7 + round, -8, 'z');
        mixed(1.5 + round, 42, -2.25, "mixed");
        by_value((struct small){ -1, 2, 'c' }, 9, (struct pair){ round, -round });
        by_stack(1, (struct large){ 10, -20, 30 + round }, 2);
        bit_fields((struct bits){ 5, -7, 1234567890123ul });
        sink = (int)returns_struct(round, 77).c;
        sink = recurse(round, 0);
        sink = variadic(round, "ints", 1, 2, 3);
        big_frame(round, 100);
        sink = address_taken(round, 4);
        sink = early(&local, round);
        sink = host(round + 1, 100);
        sink = once(argc + round, "once");
        sink = (int)vla(round + 1, 6);
    }
    return 0;
}
