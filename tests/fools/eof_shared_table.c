/* Two processes share one table of descriptors: the other closes ours.
   must: close 4 -> read "" */
#include "fool.h"
static int p[2];
static char stack[65536] __attribute__((aligned(16)));
static int other(void *arg) {
    (void)arg;
    close(p[1]);
    _exit(0);
}
int main(void) {
    must(pipe(p));
    must(clone(other, stack + sizeof stack, CLONE_FILES | SIGCHLD, 0));
    wait(0);
    got(p[0], 64);
}
