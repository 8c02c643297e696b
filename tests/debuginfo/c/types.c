// Types as a program may write them. gdb's ptype and sizeof are what they are held against.
enum sign { MINUS = -1, ZERO, PLUS };
enum wide { SMALL = 1, HUGE_ONE = 0xfedcba9876543210 };
typedef unsigned long long number;
struct tree { struct tree *left, *right; const char name[256]; union { int i; float f; }; number key; unsigned a : 3, : 2, b : 9; _Bool flag : 1; };
int grid[3][5];
volatile const struct tree *keep;
int take(struct tree *t, enum sign s, enum wide w, int (*f)(int), const volatile int *v, double d, char c, _Bool b, int g[3][5]) {
    return t != 0 && s == PLUS && w == SMALL && f != 0 && v != 0 && d > 0 && c && b && g != 0;
}
int main(void) { return take(0, MINUS, SMALL, 0, 0, 1, 'c', 1, grid); }
