/* Edge-triggered: epoll(7), EPOLLET, and the calls of program unix.
   Wire: that of program unix. The server ends when its last client has left.
   cc -Wall edge.c -o edge; ./edge server /tmp/m & sleep 1; ncat -U /tmp/m */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Leaves with the name of the error, if a call has failed. */
static long ok(long result, const char *call)
{
    if (result == -1) {
        fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno));
        exit(1);
    }
    return result;
}

//[
/* The same, but that EAGAIN is no failure: all that had come has been taken. */
static long taken(long result, const char *call)
{
    return result == -1 && errno == EAGAIN ? -1 : ok(result, call);
}

//]
static void server(struct sockaddr_un address)
{
    //[
    int listener = ok(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), "socket");
    //]
    //| int listener = ok(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    ok(bind(listener, &address, sizeof address), "bind"); /* makes the name */
    ok(listen(listener, 5), "listen"); /* from now on the kernel connects clients */
    int epoll = ok(epoll_create1(0), "epoll_create1"); /* the kernel keeps the interest list */
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = listener}, ready[64];
    ok(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event), "epoll_ctl");
    char data[4096];
    int clients = 0, n;
    for (;;) {
        int count = epoll_wait(epoll, ready, 64, -1); /* sleeps until something has come */
        //[
        if (count == -1 && errno == EINTR) /* stopped and continued: signal(7) */
            continue;
        //]
        ok(count, "epoll_wait");
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) {
                //[
                /* Until EAGAIN: an event may stand for several clients. */
                while ((event.data.fd = taken(accept(listener, NULL, NULL), "accept")) != -1) {
                    ok(epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event), "epoll_ctl");
                    clients++;
                }
                //]
                //| event.data.fd = ok(accept(listener, NULL, NULL), "accept");
                //| ok(epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event), "epoll_ctl");
                //| clients++;
                continue;
            }
            //[
            /* Until EAGAIN: all is read, and more makes an event. */
            while ((n = taken(recv(fd, data, sizeof data, MSG_DONTWAIT), "recv")) > 0)
                ok(send(fd, data, n, MSG_NOSIGNAL), "send"); /* sleeps while it is full */
            //]
            //| if ((n = ok(recv(fd, data, sizeof data, 0), "recv")) > 0)
            //|     ok(send(fd, data, n, MSG_NOSIGNAL), "send"); /* sleeps while it is full */
            if (n == 0) {
                ok(close(fd), "close"); /* the client's recv returns 0; fd leaves the list */
                clients--;
            }
        }
        if (clients == 0)
            break;
    }
    ok(unlink(address.sun_path), "unlink");
}

int main(int argc, char *argv[])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, argc > 2 && strlen(argv[2]) <= 107 ? argv[2] : "");
    if (*address.sun_path && argc == 3 && strcmp(argv[1], "server") == 0) /* 1 to 107 bytes */
        server(address);
    else
        return fputs("usage: edge server PLACE\n", stderr), 2;
}
