/* Thread-local variables, of the program and of its functions; `take` is called once, in a thread of its own. */
#include <pthread.h>
#include <stdio.h>

struct shape {
    int sides;
    const char *name;
};

__thread int own_copy = 5;
__thread struct shape shape = { 4, "square" };
__thread char wide[3] __attribute__((aligned(64))) = "ab";
__thread long empty[3];
static __thread long alone = 12;
int of_all = 7;

__attribute__((noinline)) void take(int number)
{
    static __thread int calls = 3;
    calls++;
    own_copy++;
    alone--;
    printf("%d %d %d %d %s %s %ld %ld %d\n", number, calls, own_copy, shape.sides, shape.name, wide, empty[1], alone,
           of_all);
}

static void *run(void *nothing)
{
    own_copy = 60;
    shape.sides = 6;
    shape.name = "hexagon";
    wide[0] = 'x';
    empty[1] = -8;
    alone = -13;
    take(1);
    return nothing;
}

int main(void)
{
    pthread_t thread;
    own_copy = 11;
    empty[1] = 12;
    if (pthread_create(&thread, NULL, run, NULL))
        return 1;
    return pthread_join(thread, NULL);
}
