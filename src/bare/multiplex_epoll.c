/* Many clients in one thread, bare: epoll(7), and the calls of program unix.
   Wire: that of program unix. The server starts first, and ends when its last client has left.
   Not here: a client that reads no answer, EINTR after a stop. See chapter multiplex.
   cc -Wall multiplex_epoll.c -o epoll; ./epoll server /tmp/m & sleep 1; ./epoll client /tmp/m hi */
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

static void server(struct sockaddr_un address)
{
    int listener = ok(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    ok(bind(listener, &address, sizeof address), "bind"); /* makes the name */
    ok(listen(listener, 5), "listen"); /* from now on the kernel connects clients */
    int epoll = ok(epoll_create1(0), "epoll_create1"); /* the kernel keeps the interest list */
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[64];
    ok(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event), "epoll_ctl");
    char data[4096];
    int clients = 0, n;
    do {
        int i = ok(epoll_wait(epoll, ready, 64, -1), "epoll_wait"); /* sleeps until one is ready */
        while (i-- > 0) {
            int fd = ready[i].data.fd;
            if (fd == listener) { /* ready: neither accept nor recv sleeps */
                event.data.fd = ok(accept(listener, NULL, NULL), "accept");
                ok(epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event), "epoll_ctl");
                clients++;
            } else if ((n = ok(recv(fd, data, sizeof data, 0), "recv")) > 0) {
                ok(send(fd, data, n, MSG_NOSIGNAL), "send"); /* sleeps while it is full */
            } else {
                ok(close(fd), "close"); /* the client's recv returns 0; fd leaves the list */
                clients--;
            }
        }
    } while (clients > 0);
    ok(unlink(address.sun_path), "unlink");
}

static void client(struct sockaddr_un address, char *messages[])
{
    int sock = ok(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    ok(connect(sock, &address, sizeof address), "connect"); /* sleeps while the backlog is full */
    for (; *messages; messages++) /* if the server has left, SIGPIPE ends this process */
        ok(dprintf(sock, "%s\n", *messages), "write"); /* sleeps while the socket is full */
    ok(shutdown(sock, SHUT_WR), "shutdown"); /* the server's recv returns 0 */
    char data[4096];
    long n;
    while ((n = ok(recv(sock, data, sizeof data, 0), "recv")) > 0) /* sleeps until data comes */
        ok(write(1, data, n), "write");
}

int main(int argc, char *argv[])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, argc > 2 && strlen(argv[2]) <= 107 ? argv[2] : "");
    if (*address.sun_path && argc == 3 && strcmp(argv[1], "server") == 0) /* 1 to 107 bytes */
        server(address);
    else if (*address.sun_path && strcmp(argv[1], "client") == 0)
        client(address, argv + 3);
    else
        return fputs("usage: multiplex_epoll server PLACE | client PLACE MESSAGE...\n", stderr), 2;
}
