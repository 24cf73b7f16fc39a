/* The last write end dies on its way: with the socket that it was sent to.
   must: close 6 -> read "" */
#include "fool.h"
int main(void) {
    int p[2], s[2];
    must(pipe(p));
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    send_descriptor(s[0], p[1]);
    close(p[1]);
    must(fcntl(p[0], F_SETFL, O_NONBLOCK));
    got(p[0], 64);
    close(s[0]);
    got(p[0], 64);
    close(s[1]);
    got(p[0], 64);
}
