/* Who receives it has no room for it: the kernel closes it.
   must: sendmsg "d" -> recvmsg "d"
   must: recvmsg "d" -> read "" */
#include "fool.h"
int main(void) {
    int p[2], s[2];
    must(pipe(p));
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    send_descriptor(s[0], p[1]);
    close(p[1]);
    receive_descriptor(s[1], 0);
    got(p[0], 64);
}
