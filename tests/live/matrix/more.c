/* The second unit: what link-time optimisation moves into the first. */
#include <stdio.h>
#include "values.h"

int m_beside(int a, long b) { return a * 7 + (int)(b ^ sink); }

int m_elsewhere(int a, const char *b, long c) {
    say("m_beside", "a=%d|b=%ld", a + 1, c);
    return m_beside(a + 1, c) + b[0];
}
