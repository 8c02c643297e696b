/* Marks in the midst of statements, two of one name with other arguments. */
#include <stdio.h>
#include <sys/sdt.h>

__attribute__((noipa)) long total(const int *prices, int count)
{
    long all = 0;
    for (int i = 0; i < count; i++) {
        all += prices[i];
        DTRACE_PROBE3(shop, priced, i, prices[i] * 2, all);
    }
    DTRACE_PROBE2(shop, summed, all + count, 1);
    return all;
}

__attribute__((noipa)) long rounded(long all, int to)
{
    long rest = all % to;
    DTRACE_PROBE2(shop, summed, all - rest, 2);
    return all - rest;
}

int main(int argc, char **argv)
{
    int prices[] = {1, 2, 3};
    printf("%ld\n", rounded(total(prices, argc + 1), 5));
    return argv == 0;
}
