/* What is traced in the virtual machine: each call of step() calls these functions, and each of them prints what a trace
 * of it must show, behind the tag that the cases name it by. */
#include <stdlib.h>
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
    printf("who: %d %d %d traced traced who\n", number, getpid(), getuid());
}

KEEP void sold(int number, const char *what)
{
    printf("sold: %d %s\n", number, what);
    DTRACE_PROBE2(shop, sold, number, what);
}

/* Marks whose arguments are computed where they stand, two of one name with other arguments. */
KEEP long total(const int *prices, int count)
{
    long all = 0;
    for (int i = 0; i < count; i++) {
        all += prices[i];
        DTRACE_PROBE3(shop, priced, i, prices[i] * 2, all);
    }
    DTRACE_PROBE2(shop, summed, all + count, 1);
    return all;
}

KEEP long rounded(long all, int to)
{
    long rest = all % to;
    DTRACE_PROBE2(shop, summed, all - rest, 2);
    return all - rest;
}

struct parcel {
    int weight;
    const char *to;
};

/* What it was given is another thing when it returns. */
KEEP int despatch(struct parcel *parcel, int urgent)
{
    parcel->weight += 5;
    parcel->to = "gone";
    return urgent ? -parcel->weight : parcel->weight;
}

KEEP void say(const char *text, int number)
{
    printf("say: %d [%.3s] %d %05d|%-4d|%x %.2s %ld %s%d\n", (int)strlen(text), strlen(text) > 2 ? text + 2 : "",
           strstr(text, "ab") != NULL, number, number, number, text, strtol(text, NULL, 10), text, number);
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
    const char *said[] = {"12ab", "x", "-5 cabs"};
    const char *named;
    char what[400];
    int prices[3] = {i, 10 - i, 7};
    struct parcel parcel = {i * 3, texts[i % 3]};
    long all = 0;

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
    for (int at = 0; at < 3; at++) {
        all += prices[at];
        printf("priced: %d %d %ld\n", at, prices[at] * 2, all);
    }
    printf("summed: %ld 1\nsummed: %ld 2\n", all + 3, all / 5 * 5);
    rounded(total(prices, 3), 5);
    printf("despatch: %d %s %d ", parcel.weight, parcel.to, i % 2);
    printf("%d\n", despatch(&parcel, i % 2));
    if (i % 2)
        printf("urgent: %d %s\n", i * 3 + 5, parcel.to);
    say(said[i % 3], 20 + i);
    printf("tried: %d\n", i);
    if (i)
        printf("shared: %d\n", 12 / (i * i));
}
