// As values.c: what is passed is printed before the call. References print as what they refer to.
#include <cstdarg>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#define NOINLINE __attribute__((noinline))
#define KEPT __attribute__((noinline, used))

volatile long sink;
static volatile long source[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
static long in(int i) { return source[i & 7]; }

static void say(const char *name, const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    printf("%s|", name);
    vprintf(format, rest);
    puts("");
    va_end(rest);
}

struct point { int x, y; };
struct base { virtual ~base() = default; int id; };
struct item : base { std::string name; std::vector<int> sizes; };
enum class state : unsigned char { idle, busy = 9 };

// Passed by address, and passed itself.
struct copied {
    int q, r;
    explicit copied(int q) : q(q), r(q * 2) {}
    copied(const copied &of) : q(of.q), r(of.r) {}
};
struct three_longs { long a, b, c; };

namespace shop {
struct counter {
    int count;
    long step;
    KEPT long m_add(int by, state s) const { return count + by + (long)s + sink; }
    static KEPT int m_static(int a, bool up) { return up ? a : -a; }
    NOINLINE int m_hidden(int unused, int a) {
        (void)unused;
        return count * a + (int)sink;
    }
    int m_inline(short a) { return count * a + (int)sink; }
};
template <typename T> KEPT T m_largest(T a, T b, int n) { return a < b ? b : a + (T)n; }
// Two of one name.
KEPT int m_over(int a) { return a + (int)sink; }
KEPT int m_over(const char *a, long b) { return a[0] + (int)(b + sink); }
KEPT long m_text(const std::string &a, std::string_view b, const char *c) {
    return (long)(a.size() + b.size()) + c[0] + sink;
}
KEPT long m_by_value(point p, std::string a, int n) { return p.x + p.y + (long)a.size() + n + sink; }
// Behind the last register, on the stack.
KEPT long m_stacked(int a, int b, int c, int d, int e, int f, copied g, three_longs h, int i) {
    return a + b + c + d + e + f + g.q + g.r + h.a + h.b + h.c + i + sink;
}
KEPT long m_sequences(const std::vector<int> &a, const std::vector<std::string> &b) {
    return a[0] + (long)b[0].size() + sink;
}
KEPT int m_class(const item &a, const base *b, int &c) {
    c++;
    return a.id + b->id + (int)a.sizes.size() + (int)sink;
}
KEPT int m_shared(std::shared_ptr<int> a, int b) { return *a + b + (int)sink; }
KEPT int m_owned(std::unique_ptr<int> a, int b) { return *a + b + (int)sink; }
KEPT int m_throws(int a, const char *why) {
    if (a > 1) throw why;
    return a + (int)sink;
}
}  // namespace shop

int main() {
    shop::counter counter = { 5, 1 };
    for (int round = 0; round < 3; round++) {
        int r = (int)in(round);
        say("m_add", "this=%p|by=%d|s=%s", (void *)&counter, r, r == 1 ? "busy" : "idle");
        sink += counter.m_add(r, r == 1 ? state::busy : state::idle);
        say("m_static", "a=%d|up=%s", r, r ? "true" : "false");
        sink += shop::counter::m_static(r, r != 0);
        say("m_hidden", "this=%p|unused=%d|a=%d", (void *)&counter, r, r + 3);
        sink += counter.m_hidden(r, r + 3);
        say("m_inline", "this=%p|a=%d", (void *)&counter, r - 1);
        sink += counter.m_inline((short)(r - 1));
        say("m_largest<long>", "a=%d|b=4|n=2", r);
        sink += shop::m_largest<long>(r, 4, 2);
        say("m_largest<short>", "a=%d|b=-4|n=2", r);
        sink += shop::m_largest<short>((short)r, -4, 2);
        say("m_over(int)", "a=%d", r);
        sink += shop::m_over(r);
        say("m_over(char const*, long)", "a=over|b=%d", r);
        sink += shop::m_over("over", r);
        std::string text = "text " + std::to_string(r), more = "a longer text that is on the heap";
        say("m_text", "a=%s|b=%s|c=plain", text.c_str(), more.c_str());
        sink += shop::m_text(text, more, "plain");
        say("m_by_value", "p={.x=%d, .y=-1}|a=%s|n=3", r, text.c_str());
        sink += shop::m_by_value({ r, -1 }, text, 3);
        say("m_stacked", "a=1|b=2|c=3|d=4|e=5|f=%d|g={.q=%d, .r=%d}|h={.a=7, .b=%d, .c=9}|i=-1", r, r + 3, 2 * r + 6, r);
        sink += shop::m_stacked(1, 2, 3, 4, 5, r, copied(r + 3), three_longs{ 7, r, 9 }, -1);
        std::vector<int> numbers = { r, 20, 30 };
        std::vector<std::string> texts = { "one", "two", more };
        say("m_sequences", "a=[%d, 20, 30]|b=[\"one\", \"two\", \"%s\"]", r, more.c_str());
        sink += shop::m_sequences(numbers, texts);
        item one;
        one.id = r;
        one.name = "item";
        one.sizes = numbers;
        say("m_class", "a=?|b=%p|c=%d", (void *)&one, r);
        int value = r;
        sink += shop::m_class(one, &one, value);
        auto shared = std::make_shared<int>(r);
        say("m_shared", "a=?|b=6");
        sink += shop::m_shared(shared, 6);
        say("m_owned", "a=?|b=7");
        sink += shop::m_owned(std::make_unique<int>(r), 7);
        say("m_throws", "a=%d|why=why", r);
        try {
            sink += shop::m_throws(r, "why");
        } catch (const char *) {
            sink = 0;
        }
    }
    return 0;
}
