/* MSG_PEEK takes nothing; MSG_TRUNC on TCP takes and stores nothing.
   must: sendto "one" -> recvfrom "one"
   must: sendto "gone" -> recvfrom
   must: sendto "two" -> recvfrom "two"
   must: connect -> accept */
#include "fool.h"
int main(void) {
    int t[2];
    tcp_pair(t);
    must(send(t[0], "one", 3, 0));
    must(recv(t[1], buffer, 3, MSG_PEEK));
    must(recv(t[1], buffer, 3, 0));
    must(send(t[0], "gone", 4, 0));
    must(send(t[0], "two", 3, 0));
    must(recv(t[1], buffer, 4, MSG_TRUNC));
    must(recv(t[1], buffer, 9, 0));
}
