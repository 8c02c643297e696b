/* What is traced in the virtual machine: each call of step() calls these functions, and each of them prints what a trace
 * of it must show, behind the tag that the cases name it by. */
#include <string.h>
#include "drive.h"

enum kind { TEA, BREAD, RICE };

KEEP void integers(signed char i8, unsigned char u8, short i16, unsigned short u16, int i32, unsigned u32, long i64,
                   unsigned long u64)
{
    printf("integers: %d %u %d %u %d %u %ld %lu\n", i8, u8, i16, u16, i32, u32, i64, u64);
}

KEEP void order(int number, const char *what, enum kind kind, const char *nowhere)
{
    const char *names[] = {"TEA", "BREAD", "RICE"};
    printf("order: %d %.256s%s %s %s\n", number, what, strlen(what) > 256 ? "<truncated>" : "", names[kind],
           nowhere ? "<fault>" : "");
}

void step(int i)
{
    char what[400];

    integers(-i - 1, 255 - i, -1000 * i, 65535 - i, -2147483647 + i, 4294967295u - i, -9000000000000000000L + i,
             18446744073709551615ul - i);
    memset(what, 'x', sizeof what);
    what[i == 1 ? 300 : i] = 0;
    order(i, what, i % 3, (const char *)8);
}
