/* shutdown ends what is sent; the close after it ends nothing more. Who shuts down its own
   read end finds an end that nobody made.
   must: write "hi" -> read "hi"
   must: shutdown -> read "" */
#include "fool.h"
int main(void) {
    int s[2], t[2];
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    put(s[0], "hi");
    must(shutdown(s[0], SHUT_WR));
    close(s[0]);
    got(s[1], 64);
    got(s[1], 64);
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, t));
    must(shutdown(t[1], SHUT_RD));
    close(t[0]);
    recv(t[1], buffer, 64, 0);
}
