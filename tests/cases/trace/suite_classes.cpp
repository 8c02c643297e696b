// What SystemTap's own test suite asks of classes, written anew: members of an object, of its bases, and its functions.
#include <cstdio>

namespace shapes {

struct Named {
    const char *name;
    int tag = 3;
};

class Shape : public Named {
public:
    explicit Shape(const char *called, int w) : Named{called}, width(w) {}
    virtual ~Shape() = default;
    __attribute__((noipa)) int area(int scale) const { return width * scale; }
    __attribute__((noipa)) virtual long weigh(long density) { return width * density; }
    static int made;

protected:
    int width;
};

int Shape::made = 12;

class Box : public Shape {
public:
    Box(const char *called, int w, int h) : Shape(called, w), height(h) {}
    __attribute__((noipa)) long weigh(long density) override { return width * height * density; }

private:
    int height;
};

template <typename T> __attribute__((noipa)) T larger(T left, T right) { return left > right ? left : right; }

}  // namespace shapes

__attribute__((noipa)) int measure(shapes::Shape &shape, const shapes::Named *named)
{
    return shape.area(named->tag);
}

int main()
{
    shapes::Shape line("line", 4);
    shapes::Box box("box", 5, 6);
    shapes::Shape *either = &box;
    std::printf("%d\n", measure(line, &line));
    std::printf("%d\n", measure(box, &box));
    std::printf("%ld\n", line.weigh(10));
    std::printf("%ld\n", either->weigh(2));
    std::printf("%d\n", shapes::larger(1, 2));
    std::printf("%ld\n", shapes::larger(7L, 5L));
    return shapes::Shape::made == 12 ? 0 : 1;
}
