/* What is traced in the virtual machine: each call of step() calls these functions, and each of them prints what a trace
 * of it must show, behind the tag that the cases name it by. */
#include <string.h>
#include <sys/sdt.h>
#include "drive.h"

/* At the top: a case names the line of its printf. */
KEEP void account(int number)
{
    long total = number * 3L + 1;
    printf("account: %d %ld\n", number, total);
}

enum kind { TEA, BREAD, RICE };

static const char *const kinds[] = {"TEA", "BREAD", "RICE"};

struct address {
    int zip;
    const char *city;
};

struct request {
    int number;
    enum kind kind;
    struct address from;
    short sizes[3];
    unsigned urgent : 1;
    unsigned level : 3;
    int shift : 4;
    const struct request *before;
    union {
        int whole;
        unsigned char bytes[4];
    } either;
};

int served = 100;

KEEP void integers(signed char i8, unsigned char u8, short i16, unsigned short u16, int i32, unsigned u32, long i64,
                   unsigned long u64)
{
    printf("integers: %d %u %d %u %d %u %ld %lu\n", i8, u8, i16, u16, i32, u32, i64, u64);
}

KEEP void order(int number, const char *what, enum kind kind, const char *nowhere)
{
    printf("order: %d %.256s%s %s %s\n", number, what, strlen(what) > 256 ? "<truncated>" : "", kinds[kind],
           nowhere ? "<fault>" : "");
}

KEEP void handle(const struct request *req)
{
    char before[16] = "<fault>";

    if (req->before)
        snprintf(before, sizeof before, "%d", req->before->number);
    printf("handle: %d %s %s %d %d %s %d\n", req->number, kinds[req->kind], req->from.city, req->from.zip,
           req->sizes[req->kind], before, served);
    printf("bits: %u %u %d %u\n", req->urgent, req->level, req->shift, req->either.bytes[1]);
}

KEEP int twice(int number)
{
    return number * 2;
}

KEEP const char *name_of(int number)
{
    return number > 0 ? kinds[number % 3] : NULL;
}

KEEP long factorial(int n)
{
    long result = n < 2 ? 1 : n * factorial(n - 1);
    printf("factorial: %d %ld\n", n, result);
    return result;
}

KEEP void weigh(int kilos, const char *what)
{
    printf("weigh: %d %s\n", kilos, what);
}

KEEP void compute(unsigned a, int b, const char *text)
{
    printf("compute: %d %d %ld %d %s\n", (int)a / 3 - b % 4, a > 1 && b < 0, (long)b * a ^ 5, (int)strlen(text),
           strcmp(text, "b") < 0 ? "low" : "high");
    if (a % 2)
        printf("odd: %u %.3s\n", a, text);
}

KEEP void event(int number, const char *text)
{
    printf("event: number=%d text=\"", number);
    for (; *text; text++)
        printf(strchr("\"\\", *text) ? "\\%c" : "%c", *text);
    printf("\" large=%d\n", number > 1);
}

KEEP void who(int number)
{
    printf("who: %d %d %d traced who\n", number, getpid(), getuid());
}

KEEP void sold(int number, const char *what)
{
    printf("sold: %d %s\n", number, what);
    DTRACE_PROBE2(shop, sold, number, what);
}

static inline __attribute__((always_inline)) void add(int number)
{
    printf("add: %d\n", number);
}

void ship(int number, const char *city);

void step(int i)
{
    struct address bern = {3000 + i, "Bern"};
    struct request first = {.number = 1000 + i};
    struct request request = {i, i % 3, bern, {i, 10 * i, -100 * i}, i % 2, 7 - i, -i, i ? &first : NULL, {0x40302 + 0x100 * i}};
    const char *texts[] = {"a \"quoted\" one", "bb", "c\\d"};
    const char *named;
    char what[400];

    served += 1;
    account(i);
    integers(-i - 1, 255 - i, -1000 * i, 65535 - i, -2147483647 + i, 4294967295u - i, -9000000000000000000L + i,
             18446744073709551615ul - i);
    memset(what, 'x', sizeof what);
    what[i == 1 ? 300 : i] = 0;
    order(i, what, i % 3, (const char *)8);
    handle(&request);
    printf("twice: %d %d\n", i, twice(i));
    named = name_of(i);
    printf("name_of: %d %s\n", i, named ? named : "<fault>");
    factorial(i + 1);
    weigh(i * i, i % 2 ? "odd" : "even");
    compute(i, i - 1, i % 2 ? texts[1] : "a");
    event(i, texts[i % 3]);
    who(i);
    sold(i, texts[1]);
    add(i + 7);
    ship(i, bern.city);
}
