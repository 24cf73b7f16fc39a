/* A name is bound again: what was sent before went to another socket.
   must: sendto "to two" -> recvfrom "to two"
   must: sendto "to one" -> recvfrom "to one" */
#include "fool.h"
static int bound(void) {
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "name"};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    unlink("name");
    must(bind(fd, (void *)&at, sizeof at));
    return fd;
}
int main(void) {
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "name"};
    int from = socket(AF_UNIX, SOCK_DGRAM, 0);
    int one = bound();
    must(sendto(from, "to one", 6, 0, (void *)&at, sizeof at));
    int two = bound();
    must(sendto(from, "to two", 6, 0, (void *)&at, sizeof at));
    must(recv(two, buffer, 9, 0));
    must(recv(one, buffer, 9, 0));
    unlink("name");
}
