/* What the script tests probe. Each function prints what it was given, so that a run can be compared. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum color { RED, GREEN = 5, BLUE = -1 };
struct request { const char *path; int status; struct request *next; unsigned char tag[4]; };

__attribute__((noinline)) int my_function(int arg)
{
    return printf("my_function %d\n", arg);
}

__attribute__((noinline)) int widths(int8_t a, uint8_t b, int16_t c, uint16_t d, uint32_t e, int64_t f, uint64_t g)
{
    return printf("widths %d %d %d %d %u %ld %lu\n", a, b, c, d, e, f, g);
}

__attribute__((noinline)) int others(bool flag, char letter, enum color color, const char *text, void *pointer,
                                     struct request *request)
{
    return printf("others %d %c %d %s %p %s\n", flag, letter, color, text, pointer, request->path);
}

static inline int small(int x)
{
    return printf("small %d\n", x * 3);
}

/* The two have a parameter of one name, and at -O2 begin at one address. */
static inline __attribute__((always_inline)) int inner(int x)
{
    return printf("inner %d\n", x * 3);
}

static inline __attribute__((always_inline)) int outer(int x)
{
    return inner(x + 100) + 1;
}

__attribute__((noinline)) int wrapper(int q)
{
    return outer(q) * 2;
}

int main(int argc, char **argv)
{
    (void)argv;
    struct request request = { "/index", 200, 0, "abc" };
    for (int i = 0; i < 5; i++) {
        my_function(i * 10);
        small(i + argc);
        widths(-1, 255, -2, 65535, 4000000000u, -5, ~0ul);
        others(true, 'x', BLUE, "hello", &request, &request);
        wrapper(i);
    }
    return small(argc) < 0;
}
