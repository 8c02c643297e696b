/* The program that the examples of the language reference trace. It serves requests, one for each call of step():
 *
 *     1 GET / from Bern       answered with 200
 *     2 POST /cart from Oslo  answered with 201
 *     3 GET /missing from Bern answered with 404
 *     4 ... the same again, with numbers that go on
 */
#include <string.h>

#include "drive.h"

enum method { GET, POST };

struct address {
    char city[16];
    int zip;
};

struct request {
    int number;
    enum method method;
    const char *path;
    struct address from;
    unsigned retries : 3;
    unsigned secure : 1;
    double weight;
    int sizes[3];
    struct request *before;
};

union either {
    int whole;
    unsigned char bytes[4];
};

int served;
static const char *motto = "always open";

KEEP int checksum(const char *text, int length)
{
    int sum = 0;
    for (int i = 0; i < length; i++)
        sum += text[i];
    return sum;
}

KEEP unsigned factorial(unsigned n)
{
    return n < 2 ? 1 : n * factorial(n - 1);
}

KEEP void swap(union either *value, int (*compare)(const char *, const char *))
{
    value->whole = value->bytes[0] << 8 | value->bytes[1] | (compare != 0 ? 0 : 1);
}

KEEP int handle(struct request *req, int level)
{
    union either value = { .whole = 0x0201 };
    int status = 200;
    if (strcmp(req->path, "/missing") == 0)
        status = 404;
    else if (req->method == POST)
        status = 201;
    checksum(req->path, (int)strlen(req->path));
    factorial(level);
    swap(&value, strcmp);
    served++;
    return status; /* answered */
}

KEEP void step(int i)
{
    static const char *const paths[] = { "/", "/cart", "/missing" };
    static struct request last;
    static struct request req;

    last = req;
    req = (struct request){
        .number = i + 1,
        .method = i % 3 == 1 ? POST : GET,
        .path = paths[i % 3],
        .from = { "Bern", 3000 + i },
        .retries = i % 8,
        .secure = i % 2,
        .weight = i * 0.5,
        .sizes = { i, 10 * i, 100 * i },
        .before = i > 0 ? &last : 0,
    };
    if (i % 3 == 1)
        strcpy(req.from.city, "Oslo");
    printf("%d %s: %d (%s)\n", req.number, req.path, handle(&req, 3), motto);
}
