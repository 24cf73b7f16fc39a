/* A read of no bytes is no end of file, nor is an empty datagram.
   must: close 4 -> read "" */
#include "fool.h"
int main(void) {
    int p[2], s[2];
    must(pipe(p));
    readv(p[0], &(struct iovec){buffer, 0}, 1);
    close(p[1]);
    readv(p[0], &(struct iovec){buffer, 0}, 1);
    got(p[0], 64);
    must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s));
    must(send(s[0], "", 0, 0));
    close(s[0]);
    recv(s[1], buffer, 64, 0);
}
