/* sendmmsg and recvmmsg carry several at once.
   must: write "AAAAA" -> recvmmsg
   must: write "BBBBB" -> read "BBBBB"
   must: sendmmsg -> read "CCDD" */
#include "fool.h"
int main(void) {
    int s[2];
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    struct iovec v[2] = {{buffer, 5}};
    struct mmsghdr m[2] = {{.msg_hdr = {.msg_iov = v, .msg_iovlen = 1}}};
    put(s[0], "AAAAA");
    put(s[0], "BBBBB");
    must(recvmmsg(s[1], m, 1, 0, 0));
    got(s[1], 5);
    v[0] = (struct iovec){"CC", 2}, v[1] = (struct iovec){"DD", 2};
    m[1] = (struct mmsghdr){.msg_hdr = {.msg_iov = v + 1, .msg_iovlen = 1}};
    must(sendmmsg(s[0], m, 2, 0));
    got(s[1], 9);
}
