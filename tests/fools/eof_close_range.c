/* close_range closes; with CLOSE_RANGE_CLOEXEC it only marks.
   must: close_range 4,9 -> read "" */
#include "fool.h"
int main(void) {
    int p[2];
    must(pipe(p));
    must(syscall(SYS_close_range, 4, 9, 4));
    must(fcntl(p[0], F_SETFL, O_NONBLOCK));
    got(p[0], 64);
    must(syscall(SYS_close_range, 4, 9, 0));
    got(p[0], 64);
}
