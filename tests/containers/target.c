/* The program in the test containers. Statically linked: the image holds nothing else. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "sleep";
    if (!strcmp(mode, "hostile")) /* bears a name that is no text and looks like fields of /proc/PID/stat */
        prctl(PR_SET_NAME, "\xff) R 0\n\x1b[31m");
    if (!strcmp(mode, "exec")) /* exec FILE: becomes another program */
        execl(argv[2], argv[2], (char *)0);
    if (!strcmp(mode, "exchange")) /* exchange A B: swaps two names without end */
        for (;;)
            syscall(SYS_renameat2, AT_FDCWD, argv[2], AT_FDCWD, argv[3], RENAME_EXCHANGE);
    if (!strcmp(mode, "child")) /* child: a second process, and the first waits */
        fork();
    for (;;)
        pause();
}
