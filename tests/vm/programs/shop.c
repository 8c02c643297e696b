/* A library of the traced program. */
#include <stdio.h>

__attribute__((noipa)) void ship(int number, const char *city)
{
    printf("ship: %d %s\n", number, city);
}
