/* A duplicate that fcntl made keeps the stream open.
   must: close 9 -> read "" */
#include "fool.h"
int main(void) {
    int p[2];
    must(pipe(p));
    must(fcntl(p[1], F_DUPFD, 9));
    close(p[1]);
    must(fcntl(p[0], F_SETFL, O_NONBLOCK));
    got(p[0], 64);
    close(9);
    got(p[0], 64);
}
