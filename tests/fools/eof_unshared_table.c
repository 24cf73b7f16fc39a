/* A table that was shared and is not any more: close_range with CLOSE_RANGE_UNSHARE in the
   one closes nothing for the other.
   must: close 4 -> read "" */
#include "fool.h"
static int p[2];
static char stack[65536] __attribute__((aligned(16)));
static int other(void *arg) {
    (void)arg;
    syscall(SYS_close_range, p[1], p[1], 2);
    _exit(0);
}
int main(void) {
    must(pipe(p));
    must(clone(other, stack + sizeof stack, CLONE_FILES | SIGCHLD, 0));
    wait(0);
    must(fcntl(p[0], F_SETFL, O_NONBLOCK));
    got(p[0], 64);
    close(p[1]);
    got(p[0], 64);
}
