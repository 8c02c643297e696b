// What SystemTap's own test suite asks of places, written anew: inlined calls, lines and labels, returns, constants, values
// that are shown whole.
#include <stdio.h>

struct inside {
    short x;
    const char *text;
};

struct whole {
    int number;
    struct inside in;
    struct whole *link;
};

enum kind { NONE, SOME = 3 };

struct shown {
    struct {
        unsigned short port;
        char word[8];
        unsigned char bytes[3];
    } in;
    void *odd;
    union {
        unsigned u;
        signed char c;
    };
    unsigned low : 3, high : 5;
    enum kind kind;
};

volatile int sink;

// The value is in a register here.
#define KEEP(value) __asm__ volatile("nop" : : "r"(value))

static inline __attribute__((always_inline)) int deep(int value)
{
    KEEP(value);
    int twice = value * 2;
    KEEP(twice);
    sink = twice;
    return twice + 1;
}

static inline __attribute__((always_inline)) int middle(int base, int step)
{
    KEEP(base);
    KEEP(step);
    int sum = base + step;
    sink = sum;
    return deep(sum) + deep(step);
}

__attribute__((noipa)) int outside(int number)
{
    int limit = 40;
    const char *name = "fixed";
    sink = number + limit;
    sink = name[0];
    int first = middle(number, 3);
    return first + middle(limit, number);
}

__attribute__((noipa)) int jumps(int count)
{
    int rounds = 0;
again:
    sink = rounds;
    rounds += 2;
    if (rounds < count)
        goto again;
    sink = -rounds;
    return rounds;
}

__attribute__((noipa)) int change(struct whole *w, int by)
{
    w->number += by;
    w = w->link;
    by = 0;
    sink = by;
    return w ? w->number : -1;
}

__attribute__((noipa)) const char *named(const struct whole *w) { return w->in.text; }

__attribute__((noipa)) struct whole *follow(struct whole *w) { return w->link; }

__attribute__((noipa)) int show(const struct shown *all, char letter, unsigned char byte)
{
    return all->in.port + letter + byte;
}

int main(void)
{
    static struct whole last = {2, {-7, "end"}, 0};
    static struct whole start = {1, {5, "begin"}, &last};
    static struct shown all = {{443, "a\"b", {1, 2, 255}}, (void *)0x1234, {255}, 6, 9, SOME};
    printf("%d\n", outside(5));
    printf("%d\n", jumps(3));
    printf("%d\n", change(&start, 10));
    printf("%d\n", change(&last, -4));
    printf("%s\n", named(&start));
    printf("%d\n", follow(&start) == &last);
    printf("%d\n", show(&all, 'A', 200));
    return 0;
}
