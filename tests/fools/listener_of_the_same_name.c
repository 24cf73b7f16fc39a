/* Two listening sockets had the same name; each accepts its own.
   must: connect 5 -> accept 3
   must: connect 6 -> accept 4
   must: write "B" -> read "B" */
#include "fool.h"
static int listening(void) {
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "listens"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    unlink("listens");
    must(bind(fd, (void *)&at, sizeof at));
    must(listen(fd, 2));
    return fd;
}
static void connects(int fd) {
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "listens"};
    must(connect(fd, (void *)&at, sizeof at));
}
int main(void) {
    int one = listening(), two = socket(AF_UNIX, SOCK_STREAM, 0);
    int a = socket(AF_UNIX, SOCK_STREAM, 0), b = socket(AF_UNIX, SOCK_STREAM, 0);
    connects(a);
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "listens"};
    unlink("listens");
    must(bind(two, (void *)&at, sizeof at));
    must(listen(two, 2));
    connects(b);
    int of_b = accept(two, 0, 0);
    must(of_b);
    must(accept(one, 0, 0));
    put(b, "B");
    got(of_b, 9);
    unlink("listens");
}
