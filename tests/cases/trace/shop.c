// What the cases trace: a shop that sells four things.
#include <stdio.h>
#include <string.h>

struct item {
    int price;
    char name[8];
};

__attribute__((noinline)) int sell(const char *customer, int count, int price, const struct item *what) {
    int due = count * price;
    printf("%s buys %d %s for %d\n", customer, count, what->name, due);
    return due;
}

int main(void) {
    struct item tea = {3, "tea"}, bread = {2, "bread"};
    sell("ann", 2, tea.price, &tea);
    sell("bob", 1, bread.price, &bread);
    sell("ann", 5, bread.price, &bread);
    sell("eve", -1, tea.price, &tea);
    return 0;
}
