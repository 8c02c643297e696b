// Pointers to members, the null pointer's own type, a character of Unicode; `take` is called once.
#include <cstddef>
#include <cstdio>

struct Base {
    virtual int first() { return 1; }
    virtual int second() { return 2; }
    virtual ~Base() {}
    long before = 3;
};

struct Other {
    int plain() { return 4; }
    int member = 5;
};

struct Both : Base, Other {
    short last = 6;
};

typedef int (Both::*Function)();

struct Held {
    short Both::*data;
    Function function;
    std::nullptr_t nothing;
};

__attribute__((noinline)) void take(short Both::*data, Function function, Function is_virtual, std::nullptr_t nothing,
                                    short Both::*none, const Held &held, char32_t letter)
{
    Both both;
    std::printf("%d %d %d %d %d %zu %d %lx\n", both.*data, (both.*function)(), (both.*is_virtual)(), nothing == nullptr,
                none == nullptr, sizeof held, both.*held.data, (unsigned long)letter);
}

int main()
{
    Held held = { &Both::last, &Both::second, nullptr };
    take(&Both::last, static_cast<Function>(&Both::plain), &Both::second, nullptr, nullptr, held, U'\u00e9');
    return 0;
}
