// What SystemTap's own test suite asks of variables, written anew: values of every kind at known places.
#include <stdio.h>
#include <string.h>

#include <sys/sdt.h>

enum colour { RED, GREEN = 5, BLUE };

struct bits {
    unsigned low : 3;
    int sign : 5;
    unsigned long wide : 40;
    unsigned flag : 1;
};

struct node {
    int value;
    struct node *next;
    const char *names[3];
    enum colour colour;
};

int counter = 7;
static long table[4] = {10, 20, 30, 40};
static struct node second = {22, 0, {"a", "b", "c"}, BLUE};
static struct node first = {11, &second, {"one", "two", "three"}, GREEN};
struct node *head = &first;

__attribute__((noipa)) int bit_fields(const struct bits *b) { return b->low + b->sign; }

__attribute__((noipa)) long walk(const void *opaque, int depth)
{
    const struct node *at = opaque;
    for (int i = 0; i < depth && at; i++)
        at = at->next;
    return at ? at->value : -1;
}

__attribute__((noipa)) const char *text_of(const char **words, int which) { return words[which]; }

__attribute__((noipa)) void marked(int number, const char *text, long long big, unsigned char small)
{
    STAP_PROBE4(suite, point, number, text, big, small);
    counter += number;
}

int main(void)
{
    static const char *words[] = {"zero", "one", "two"};
    struct bits bits = {5, -3, 0x123456789aUL, 1};
    bit_fields(&bits);
    printf("%ld %ld %ld\n", walk(head, 0), walk(head, 1), walk(head, 2));
    printf("%s\n", text_of(words, 2));
    table[1] = 21;
    marked(4, "hello", 1LL << 40, 200);
    return counter + table[1] == 32 ? 0 : 1;
}
