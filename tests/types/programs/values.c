/* Structs, unions, arrays, bit-fields, enumerations and floats; `take` is called once with what is written here. */
#include <stdio.h>

enum kind { PLAIN, FANCY = 7 };

struct point {
    short x, y;
};

union number {
    unsigned whole;
    unsigned char bytes[4];
};

struct hidden;

struct item {
    struct item *next;
    const char *name;
    char tag[8];
    enum kind kind;
    _Bool on;
    unsigned low : 3, : 2, mid : 9;
    signed neg : 5;
    struct point at;
    union number n;
    struct {
        int inner;
    };
    int grid[2][3];
    double ratio;
    float half;
    volatile const long deep;
    struct hidden *secret;
    int (*call)(const char *);
};

struct pair {
    long a;
    int b;
    char c[4];
};

struct hidden {
    int found;
};

static int counter = 41;
int shared[4] = { 10, 20, 30, 40 };
__thread int own_copy = 5;

__attribute__((noinline)) void take(struct item *p, struct pair by_value, unsigned count, int *numbers, double d)
{
    static int calls = 3;
    calls++;
    counter++;
    own_copy++;
    printf("%p %ld %u %d %f %d\n", (void *)p, by_value.a + by_value.b + by_value.c[0], count, numbers[0], d, calls);
}

int main(void)
{
    static struct hidden hidden = { 99 };
    static struct item second = { .name = "second", .tag = "two", .ratio = -0.25 };
    static struct item first = { .next = &second,
                                 .name = "first",
                                 .tag = "abcdefgh",
                                 .kind = FANCY,
                                 .on = 1,
                                 .low = 5,
                                 .mid = 300,
                                 .neg = -3,
                                 .at = { -1, 2 },
                                 .n = { 0x04030201 },
                                 .inner = 77,
                                 .grid = { { 1, 2, 3 }, { 4, 5, 6 } },
                                 .ratio = 2.5,
                                 .half = 0.5f,
                                 .deep = -9,
                                 .secret = &hidden,
                                 .call = puts };
    int numbers[] = { 100, 200, 300 };
    struct pair pair = { 1000, -5, "xyz" };
    take(&first, pair, 2, numbers, 1.5);
    return shared[0] - 10;
}
