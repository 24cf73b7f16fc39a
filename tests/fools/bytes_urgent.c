/* An urgent byte overtakes the others, or is never read.
   must: connect -> accept
   may: sendto "one" -> recvfrom "one" */
#include "fool.h"
int main(void) {
    int t[2];
    tcp_pair(t);
    must(send(t[0], "one", 3, 0));
    must(send(t[0], "!", 1, MSG_OOB));
    must(send(t[0], "two", 3, 0));
    must(recv(t[1], buffer, 1, MSG_OOB));
    must(recv(t[1], buffer, 3, 0));
    must(recv(t[1], buffer, 3, 0));
}
