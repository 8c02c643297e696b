/* What throws, in the virtual machine: charge() ends at its own return instruction whatever happens, refuse() never does. */
extern "C" {
#include "drive.h"

KEEP long charge(long amount, long rate)
{
    return amount * rate + 7;
}
}

KEEP void refuse(long charged)
{
    if (charged % 2)
        throw charged;
}

void step(int i)
{
    long charged = charge(i + 100, 3);
    printf("charge: %d %ld\n", i + 100, charged);
    try {
        refuse(charged);
    } catch (long thrown) {
        printf("thrown: %ld\n", thrown);
    }
}
