/* Many clients in one thread, bare: poll(2), and the calls of program unix.
   Wire: that of program unix. The server starts first, and ends when its last client has left.
   Not here: a client that reads no answer, a client that is killed. See chapter multiplex.
   cc -Wall multiplex.c -o poll; ./poll server /tmp/m & sleep 1; ./poll client /tmp/m hello */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    struct pollfd fds[1024] = {{listener, POLLIN, 0}};
    char data[4096];
    int clients = 0, exhausted = 0, n;
    do {
        /* No room: clients wait in the backlog. poll would return at once, each time. */
        fds[0].events = clients < 1023 && !exhausted ? POLLIN : 0;
        ok(poll(fds, 1 + clients, -1), "poll"); /* sleeps until a socket is ready */
        for (int i = clients; i >= 0; i--) { /* downwards, since the last moves into a gap */
            if (fds[i].revents == 0)
                continue;
            if (i == 0) { /* ready: neither accept nor recv sleeps */
                int client = accept(listener, NULL, NULL);
                if (client == -1 && errno == EMFILE) {
                    exhausted = 1;
                    continue;
                }
                ok(client, "accept");
                fds[++clients] = (struct pollfd){client, POLLIN, 0};
            } else if ((n = ok(recv(fds[i].fd, data, sizeof data, 0), "recv")) > 0) {
                ok(send(fds[i].fd, data, n, MSG_NOSIGNAL), "send"); /* sleeps while it is full */
            } else {
                ok(close(fds[i].fd), "close"); /* the client's recv returns 0 */
                fds[i] = fds[clients--];
                exhausted = 0;
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
        return fprintf(stderr, "usage: multiplex server PLACE | client PLACE MESSAGE...\n"), 2;
}
