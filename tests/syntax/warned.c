/* Code that ctp warns of where it is probed. Compiled with clang -O2. */
#include <stdio.h>

volatile int sink;

/* Inlined into its caller, and there on its own, too. */
int both(int value, int spare)
{
    sink = value;
    return value + 1;
}

/* What it holds at its beginning it holds at each turn. */
__attribute__((noreturn, noinline)) void forever(void)
{
    for (;;)
        sink++;
}

__attribute__((noinline)) double scaled(double value)
{
    return value * sink;
}

/* No register and no conversion holds its parameter. */
__attribute__((noinline)) int turned(__float128 value)
{
    return sink + (int)value;
}

int main(int argc, char **argv)
{
    (void)argv;
    printf("%d %f\n", both(argc, 7), scaled(argc));
    sink = turned(argc);
    if (argc > 99)
        forever();
    return 0;
}
