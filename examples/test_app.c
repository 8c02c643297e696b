/* The program of the example: calls my_function with 0, 10, 20, … and says so.
 *
 *   test_app [FIRST [MILLISECONDS]]
 *
 * FIRST is the first argument (0), MILLISECONDS the pause between two calls (250).
 * Compile with debug information: gcc -g -static -o test_app test_app.c
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void my_function(int arg)
{
    printf("my_function was called with %d\n", arg);
}

int main(int argc, char **argv)
{
    int arg = argc > 1 ? atoi(argv[1]) : 0;
    long pause_ms = argc > 2 ? atol(argv[2]) : 250;
    struct timespec pause = { pause_ms / 1000, pause_ms % 1000 * 1000000 };

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (;;) {
        my_function(arg);
        arg += 10;
        nanosleep(&pause, NULL);
    }
}
