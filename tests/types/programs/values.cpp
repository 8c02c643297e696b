// Classes with bases, references, and the library's strings and vectors; `take` is called once.
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace shop {
struct Named {
    std::string name;
    int id;
};

struct Priced {
    double price;
};

class Item : public Named, public Priced {
public:
    std::vector<int> sizes;
    std::vector<Priced> offers;
    short amount;
};
} // namespace shop

__attribute__((noinline)) void take(const shop::Item &item, const std::string &text, std::string_view view, int &number,
                                    std::string *pointer)
{
    printf("%d %s %zu %d %s\n", item.id, text.c_str(), view.size(), number, pointer->c_str());
}

int main()
{
    shop::Item item;
    item.name = "a name that is longer than fits in place";
    item.id = 12;
    item.price = 9.75;
    item.sizes = {3, 5, 8};
    item.offers = {{1.5}, {2.5}};
    item.amount = -4;
    std::string text = "short";
    std::string other = "pointed to";
    int number = 321;
    take(item, text, std::string_view("a view of this", 6), number, &other);
    return 0;
}
