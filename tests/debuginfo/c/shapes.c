// Code whose shape makes a first address wrong: loops at the beginning, split and cloned functions, tail calls.
// Every function prints its own arguments, one line a call: name, then parameter=value in order.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline))
volatile int sink;

// gcc splits such a function: the test is inlined into callers, the rest becomes split.part.0.
struct node { int value; struct node *next; };
static int split(struct node *n, int k) {
    printf("split n=%lu k=%d\n", (unsigned long)n, k);
    if (!n) return k;
    int sum = 0;
    for (struct node *at = n; at; at = at->next) {
        sum += at->value * k;
        printf(" %d", sum);
        if (sum > 1000) abort();
        if (sum < -1000) exit(3);
    }
    printf("\n");
    return sum;
}
NOINLINE int calls_split(struct node *n, int k) {
    printf("calls_split n=%lu k=%d\n", (unsigned long)n, k);
    return split(n, k) + 1;
}
NOINLINE int calls_split_too(struct node *n, int k) {
    printf("calls_split_too n=%lu k=%d\n", (unsigned long)n, k);
    return split(n, k + 1) - 1;
}
// The unused parameter goes (.isra), the constant one too (.constprop).
static NOINLINE int cloned(int a, int unused, int constant, struct node *n) {
    printf("cloned a=%d unused=%d constant=%d n=%lu\n", a, 12, constant, (unsigned long)n);
    sink = n->value;
    return a + constant;
}
// A tail call becomes a jump; recursion in it a loop.
NOINLINE int tail_target(int a, long b) {
    printf("tail_target a=%d b=%ld\n", a, b);
    return a;
}
NOINLINE int tail(int a) {
    printf("tail a=%d\n", a);
    return tail_target(a + 1, 2);
}
NOINLINE int cold(int a) {
    printf("cold a=%d\n", a);
    if (__builtin_expect(a > 100, 0)) {
        fprintf(stderr, "too large\n");
        abort();
    }
    return a;
}
static inline __attribute__((always_inline)) long loops(int n, long start) {
    printf("loops n=%d start=%ld\n", n, start);
    long sum = start;
    for (int i = 0; i < n; i++) { sum += i; sink = (int)sum; }
    return sum;
}
NOINLINE long nests(int n) {
    printf("nests n=%d\n", n);
    long sum = 0;
    for (int i = 0; i < n; i++) sum += loops(i, sum);
    return sum;
}
NOINLINE void changes(int a, int *b) {
    printf("changes a=%d b=%lu\n", a, (unsigned long)b);
    a += *b;
    sink = a;
    b++;
    sink = *b;
    printf(" %d\n", a);
}
NOINLINE double floats(int before, float f, double d, int after) {
    unsigned int raw_f;
    unsigned long raw_d;
    memcpy(&raw_f, &f, sizeof f);
    memcpy(&raw_d, &d, sizeof d);
    printf("floats before=%d f=%u d=%lu after=%d\n", before, raw_f, raw_d, after);
    return f + d;
}
static NOINLINE int callback(const void *a, const void *b) {
    printf("callback a=%lu b=%lu\n", (unsigned long)a, (unsigned long)b);
    return *(const int *)a - *(const int *)b;
}

int main(void) {
    struct node second = { 2, 0 }, first = { 1, &second };
    int numbers[] = { 5, 3, 9, 1 };
    for (int i = 0; i < 4; i++) {
        sink = calls_split(i & 1 ? &first : 0, i);
        sink = calls_split_too(i & 1 ? 0 : &first, i);
        sink = cloned(i, 12, 34, &first);
        sink = tail(i);
        sink = cold(i);
        sink = (int)nests(i);
        changes(i, numbers);
        sink = (int)floats(i, 1.5f, 2.5, i + 1);
    }
    qsort(numbers, 4, sizeof numbers[0], callback);
    return 0;
}
