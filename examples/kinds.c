/* A program whose functions have parameters of every kind; each prints what it was called with.
 *
 *   kinds [MILLISECONDS]
 *
 * MILLISECONDS is the pause between two rounds (250). Compile with debug information: gcc -g -static -o kinds kinds.c
 */
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum size { SMALL, MEDIUM, LARGE };

static const char *const size_names[] = { "SMALL", "MEDIUM", "LARGE" };

void integers(signed char i8, unsigned char u8, short i16, unsigned short u16, int i32, unsigned u32, long i64,
              unsigned long u64)
{
    printf("i8=%d u8=%u i16=%d u16=%u i32=%d u32=%u i64=%ld u64=%lu\n", i8, u8, i16, u16, i32, u32, i64, u64);
}

void order(unsigned number, const char *item, enum size size, bool express, char shelf)
{
    printf("order %u: %s, %s, express=%s, shelf %c\n", number, item, size_names[size], express ? "true" : "false",
           shelf);
}

int main(int argc, char **argv)
{
    static const char *const items[] = { "a pair of boots", "", "one lamp", "tea" };
    long pause_ms = argc > 1 ? atol(argv[1]) : 250;
    struct timespec pause = { pause_ms / 1000, pause_ms % 1000 * 1000000 };

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned round = 0;; round++) {
        integers(SCHAR_MIN, UCHAR_MAX, SHRT_MIN, USHRT_MAX, INT_MIN, UINT_MAX, LONG_MIN, ULONG_MAX);
        integers(round, round, -round, round, -round, round, -(long)round, round);
        order(round, items[round % 4], round % 3, round % 2, 'A' + round % 26);
        nanosleep(&pause, NULL);
    }
}
