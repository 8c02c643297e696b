/* What the fuzzed programs name: types of every kind in parameters, locals and members. */
#include <stdio.h>
#include <string.h>

enum kind { PLAIN, ODD = 5, BELOW = -7 };

union both {
    long whole;
    struct { short low, high; };
};

struct request {
    char *path;
    int status;
    struct request *next;
    unsigned flags : 3, rest : 5;
    enum kind kind;
    int items[4];
    union both both;
    char word[16];
    const volatile double ratio;
    int (*call)(struct request *);
};

static struct request first = { .path = "/a", .items = { 1, 2, 3, 4 }, .word = "word" };

__attribute__((noinline)) int handle(struct request *req, int n, const char *text, enum kind kind, float ratio)
{
    int code = n * 2;
    struct request copy = *req;

    printf("%s %d %s %d %f %d\n", req->path, n, text, kind, ratio, copy.items[n % 4]);
    return code + req->status;
}

static inline __attribute__((always_inline)) int mix(int arg) { return arg * 3 + printf("%d\n", arg); }

__attribute__((noinline)) long handle_request(struct request *req, unsigned char n)
{
    return mix(n) + handle(req, n, "text", ODD, 1.5f) + mix(n + 1);
}

int main(int argc, char **argv)
{
    first.next = &first;
    for (int i = 0; i < argc; i++)
        handle_request(&first, i);
    return (int)strlen(argv[0]) == 0;
}
