/* A library whose functions and marks the tests probe. */
#include <sys/sdt.h>

__attribute__((noinline)) int twice(int number)
{
    return number * 2;
}

__attribute__((noinline)) int half(int number)
{
    STAP_PROBE1(suite, half, number);
    return number / 2;
}
