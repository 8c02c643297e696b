// What the standard library becomes when it is used: thousands of functions of templates, classes with several bases,
// references, virtual tables, bit-fields and anonymous unions.
#include <algorithm>
#include <functional>
#include <iostream>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

namespace shop {

enum class Kind : unsigned char { Small, Large };

struct Priced {
    virtual ~Priced() = default;
    virtual long price(int count) const = 0;
    int base = 3;
};

struct Named {
    std::string name;
    virtual ~Named() = default;
};

struct Item : Named, Priced {
    Kind kind : 3;
    unsigned flags : 7;
    union {
        long whole;
        double part;
    };
    __attribute__((noinline)) long price(int count) const override { return count * whole + base + flags; }
};

struct Shared : virtual Priced {
    long price(int count) const override { return count; }
};

using Order = std::tuple<int, std::string, std::optional<double>>;

template <typename T, int N> struct Fixed {
    T values[N];
    __attribute__((noinline)) T sum(const T &first, T &&last) const {
        T total = first + last;
        for (const T &value : values) total += value;
        return total;
    }
};

__attribute__((noinline)) long total(const std::vector<std::shared_ptr<Priced>> &all, int count) {
    long sum = 0;
    for (const auto &one : all) sum += one->price(count);
    return sum;
}

__attribute__((noinline)) std::string show(std::variant<int, std::string> value, long Item::*member, const Item &item) {
    std::ostringstream out;
    std::visit([&](const auto &inner) { out << inner << item.*member; }, value);
    return out.str();
}

} // namespace shop

int main(int argc, char **argv) {
    std::map<std::string, std::vector<int>> words;
    std::unordered_map<int, std::set<std::string>> sets;
    std::list<shop::Order> orders;
    std::regex word("([a-z]+)[0-9]*(x|y)?");
    for (int at = 0; at < argc; at++) {
        std::smatch match;
        std::string text = argv[at];
        if (std::regex_search(text, match, word)) words[match[1]].push_back(at);
        sets[at].insert(text);
        orders.emplace_back(at, text, at / 2.0);
    }
    orders.sort();
    std::vector<std::string> sorted;
    for (const auto &one : words) sorted.push_back(one.first);
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    std::stable_sort(sorted.begin(), sorted.end());
    auto item = std::make_shared<shop::Item>();
    item->whole = argc;
    std::vector<std::shared_ptr<shop::Priced>> all{item, std::make_shared<shop::Shared>()};
    std::function<long(int)> price = [&all](int count) { return shop::total(all, count); };
    shop::Fixed<long, 4> fixed{{1, 2, 3, argc}};
    std::cout << price(argc) << shop::show(argc, &shop::Item::whole, *item) << fixed.sum(argc, 2) << sorted.size() << "\n";
}
