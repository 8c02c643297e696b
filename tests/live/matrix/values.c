// Every `m_` function is called by a function that prints, just before, what it passes: `NAME|parameter=value|…`, as
// `$$parms` shows it. So the functions may do with their parameters what optimisers like: drop, split, move them.
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "values.h"

#define SAY(name, ...) say(name, __VA_ARGS__)
#define NOINLINE __attribute__((noinline))
#define KEPT __attribute__((noinline, used))

volatile long sink;
static volatile long source[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };

// What no compiler can know.
static long in(int i) { return source[i & 7]; }

void say(const char *name, const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    printf("%s|", name);
    vprintf(format, rest);
    puts("");
    va_end(rest);
}

enum colour { RED, GREEN = 7, BLUE = -3 };
struct small { int x; short y; char c; };
struct pair { long first, second; };
struct mixed { double ratio; long count; };
struct large { long a, b, c; char name[8]; };
struct bits { unsigned low : 3; int mid : 5; unsigned long high : 40; };
struct three { char a[3]; };
struct five { char a[5]; };
struct node { struct node *next; int value; const char *name; };

// Plain parameters, all used.
KEPT void m_widths(signed char a, unsigned char b, short c, unsigned short d, int e, unsigned f) {
    sink += a + b + c + d + e + f;
}
KEPT long m_longs(long a, unsigned long b, long long c, size_t d, int64_t e, uint8_t f) {
    return a ^ (long)b ^ c ^ (long)d ^ e ^ f;
}
KEPT void m_kinds(bool a, char b, enum colour c, const char *d, void *e) {
    sink += a + b + (long)c + d[0] + (long)e;
}
KEPT int m_many(int a, int b, int c, int d, int e, int f, int g, long h, char i) {
    sink = g + h;
    return a + b + c + d + e + f + i;
}
// Vector registers; behind them the general ones.
KEPT double m_doubles(double a, int b, float c, const char *d) { return a * b + c + d[0]; }
// Structures in registers, in both kinds of registers, on the stack.
KEPT long m_by_value(struct small s, int after, struct pair p) { return s.x + s.y + s.c + after + p.first * p.second; }
KEPT double m_two_kinds(struct mixed m, long n) { return m.ratio * (double)m.count + (double)n; }
KEPT long m_by_stack(int before, struct large l, int after) { return before + l.a + l.b + l.c + l.name[0] + after; }
// gcc's debug info has them in memory that its optimised code never fills.
KEPT long m_tiny(struct three a, struct five b, int c) { return a.a[0] + b.a[1] + c; }
// Another convention, in which the function itself stores what came in registers into its caller's frame.
KEPT __attribute__((ms_abi)) long m_microsoft(int a, long b, const char *c, short d, int e) {
    return a + b + c[0] + d + e;
}
// Numbers that no register holds.
KEPT long m_wide(__int128 a, unsigned __int128 b, int c) { return (long)(a >> 64) + (long)(b >> 100) + c; }
KEPT long m_long_double(long double a, double _Complex b, int c) { return (long)a + (long)__real__ b + c; }
KEPT long m_bits(struct bits b) { return b.low + b.mid + (long)b.high; }
KEPT struct large m_returns(int a, long b) { return (struct large){ a, b, a + b, "ret" }; }
// Unused and overwritten ones.
KEPT int m_unused(int a, int b, long c) {
    (void)b;
    return a + (int)c;
}
KEPT int m_overwritten(int a, int b) {
    a = b * 3;
    sink = a;
    return a + b;
}
static NOINLINE int m_dropped(int used, int unused, int constant) {
    (void)unused;
    return used * 2 + constant + (int)sink;
}
static NOINLINE int m_split(const struct node *n, int times) {
    int sum = 0;
    for (int i = 0; i < times; i++) sum += n->value;
    return sum + (int)sink;
}
// Parameters only needed late, or only on one way.
KEPT int m_late(int a, const char *text, int b) {
    for (int i = 0; i < 3; i++) sink += i;
    if (a < 0) return (int)strlen(text);
    return a + b;
}
KEPT int m_early(const struct node *n, int a) {
    if (!n) return -1;
    return n->value + a;
}
KEPT int m_recurses(int depth, long sum) {
    if (depth == 0) return (int)sum;
    SAY("m_recurses", "depth=%d|sum=%ld", depth - 1, sum + depth);
    int inner = m_recurses(depth - 1, sum + depth);
    sink = inner;
    return inner + 1;
}
KEPT int m_variadic(int count, const char *what, ...) {
    va_list rest;
    va_start(rest, what);
    int sum = what[0];
    for (int i = 0; i < count; i++) sum += va_arg(rest, int);
    va_end(rest);
    return sum;
}
KEPT void m_big_frame(int a, int b) {
    char room[70000];
    memset(room, a, sizeof room);
    sink = room[b];
}
KEPT int m_address(int a, int b) {
    int *volatile p = &a;
    *p += b;
    return a;
}
KEPT long m_vla(int n, long m) {
    long room[n];
    for (int i = 0; i < n; i++) room[i] = m;
    long *volatile p = room;
    return p[n - 1];
}
KEPT int m_tail(int a, int b) {
    sink = a;
    SAY("m_overwritten", "a=%d|b=%d", b, a);
    return m_overwritten(b, a);
}
// Those that are inlined where optimisers may.
static inline int m_inlined(int a, long b) { return a * 3 + (int)(b ^ sink); }
static inline __attribute__((always_inline)) int m_always(struct pair p, const char *text) {
    return (int)(p.first + p.second + text[0] + sink);
}
static int m_once(int a, const char *b, struct node *n) { return a * (int)sink + b[1] + n->value; }

int main(void) {
    struct node last = { NULL, 40, "last" }, first = { &last, 2, "first" };
    for (int round = 0; round < 3; round++) {
        int r = (int)in(round);
        SAY("m_widths", "a=%d|b=255|c=-32768|d=65535|e=-2147483648|f=4294967295", r - 128);
        m_widths((signed char)(r - 128), 255, -32768, 65535, -2147483647 - 1, 4294967295u);
        SAY("m_longs", "a=-1|b=18446744073709551615|c=4611686018427387904|d=%d|e=-5|f=200", r);
        sink += m_longs(-1, 18446744073709551615ul, 1ll << 62, (size_t)r, -5, 200);
        enum colour c = r == 0 ? RED : r == 1 ? GREEN : BLUE;
        const char *names[] = { "RED", "GREEN", "BLUE" };
        SAY("m_kinds", "a=%s|b=%c|c=%s|d=text|e=%p", r & 1 ? "true" : "false", 'a' + r, names[r], (void *)&last);
        m_kinds(r & 1, (char)('a' + r), c, "text", &last);
        SAY("m_many", "a=1|b=-2|c=3|d=-4|e=5|f=-6|g=%d|h=-8|i=z", 7 + r);
        sink += m_many(1, -2, 3, -4, 5, -6, 7 + r, -8, 'z');
        SAY("m_doubles", "a=%.1f|b=42|c=-2.25|d=mixed", 1.5 + r);
        sink += (long)m_doubles(1.5 + r, 42, -2.25f, "mixed");
        SAY("m_by_value", "s={.x=-1, .y=%d, .c='c'}|after=9|p={.first=%d, .second=%d}", r, r, -r);
        sink += m_by_value((struct small){ -1, (short)r, 'c' }, 9, (struct pair){ r, -r });
        SAY("m_two_kinds", "m={.ratio=0.5, .count=%d}|n=11", r);
        sink += (long)m_two_kinds((struct mixed){ 0.5, r }, 11);
        SAY("m_by_stack", "before=1|l={.a=10, .b=-20, .c=%d, .name=\"large\"}|after=2", 30 + r);
        sink += m_by_stack(1, (struct large){ 10, -20, 30 + r, "large" }, 2);
        SAY("m_tiny", "a={.a=\"ab\"}|b={.a=\"wxyz\"}|c=%d", r);
        sink += m_tiny((struct three){ "ab" }, (struct five){ "wxyz" }, r);
        SAY("m_microsoft", "a=%d|b=-2|c=other|d=-3|e=%d", r, r + 4);
        sink += m_microsoft(r, -2, "other", -3, r + 4);
        SAY("m_wide", "a=-170141183460469231731687303715884105728|b=340282366920938463463374607431768211455|c=%d", r);
        sink += m_wide((__int128)((unsigned __int128)1 << 127), ~(unsigned __int128)0, r);
        SAY("m_long_double", "a=%.21Lg|b=1.5-%d.5i|c=%d", (long double)r + 0.1L, r, r);
        sink += m_long_double((long double)r + 0.1L, 1.5 - (r + 0.5) * 1.0i, r);
        SAY("m_bits", "b={.low=5, .mid=-7, .high=%ld}", 123456789012l + r);
        sink += m_bits((struct bits){ 5, -7, 123456789012ul + (unsigned long)r });
        SAY("m_returns", "a=%d|b=77", r);
        sink += m_returns(r, 77).c;
        SAY("m_unused", "a=%d|b=1000|c=-3", r);
        sink += m_unused(r, 1000, -3);
        SAY("m_overwritten", "a=123|b=%d", r);
        sink += m_overwritten(123, r);
        SAY("m_dropped", "used=%d|unused=%d|constant=55", r, r + 1);
        sink += m_dropped(r, r + 1, 55);
        SAY("m_split", "n=%p|times=%d", (void *)&first, r + 1);
        sink += m_split(&first, r + 1);
        SAY("m_late", "a=%d|text=late|b=6", r - 1);
        sink += m_late(r - 1, "late", 6);
        SAY("m_early", "n=0x%lx|a=%d", (unsigned long)(r == 1 ? &last : NULL), r);
        sink += m_early(r == 1 ? &last : NULL, r);
        SAY("m_recurses", "depth=%d|sum=0", r);
        sink += m_recurses(r, 0);
        SAY("m_variadic", "count=%d|what=ints", r);
        sink += m_variadic(r, "ints", 1, 2, 3);
        SAY("m_big_frame", "a=%d|b=100", r);
        m_big_frame(r, 100);
        SAY("m_address", "a=%d|b=4", r);
        sink += m_address(r, 4);
        SAY("m_vla", "n=%d|m=6", r + 1);
        sink += m_vla(r + 1, 6);
        SAY("m_tail", "a=%d|b=5", r);
        sink += m_tail(r, 5);
        SAY("m_inlined", "a=%d|b=%d", r, r * 2);
        sink += m_inlined(r, r * 2);
        SAY("m_always", "p={.first=%d, .second=8}|text=always", r);
        sink += m_always((struct pair){ r, 8 }, "always");
        SAY("m_once", "a=%d|b=once|n=%p", r + 9, (void *)&first);
        sink += m_once(r + 9, "once", &first);
        SAY("m_elsewhere", "a=%d|b=elsewhere|c=9", r);
        sink += m_elsewhere(r, "elsewhere", 9);
    }
    return 0;
}
