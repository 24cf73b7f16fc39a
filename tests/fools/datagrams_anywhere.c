/* UDP to a socket that is bound to every address; one before it was there is lost.
   must: sendto "two" -> recvfrom "two"
   must: sendto "three" -> recvfrom "thr" */
#include "fool.h"
int main(void) {
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t length = sizeof at;
    int in = socket(AF_INET, SOCK_DGRAM, 0), out = socket(AF_INET, SOCK_DGRAM, 0);
    must(bind(in, (void *)&at, sizeof at));
    must(getsockname(in, (void *)&at, &length));
    struct sockaddr_in to = at;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    close(in);
    must(sendto(out, "one", 3, 0, (void *)&to, sizeof to));
    in = socket(AF_INET, SOCK_DGRAM, 0);
    must(bind(in, (void *)&at, sizeof at));
    while (sendto(out, "two", 3, 0, (void *)&to, sizeof to) < 0) {}
    must(recvfrom(in, buffer, 9, 0, 0, 0));
    must(sendto(out, "three", 5, 0, (void *)&to, sizeof to));
    must(recvfrom(in, buffer, 3, 0, 0, 0));
}
