/* Many clients in one thread, bare: poll(2), and the calls of program unix.
   Wire: that of program unix. The server starts first, and ends when its last client has left.
   Not here: a client that is killed.
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

struct answer {
    char data[4096];
    int from, to; /* what is not sent yet */
};

static void server(struct sockaddr_un address)
{
    int listener = ok(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    ok(bind(listener, &address, sizeof address), "bind"); /* makes the name */
    ok(listen(listener, 5), "listen"); /* from now on the kernel connects clients */
    struct pollfd fds[1024] = {{listener, POLLIN, 0}};
    static struct answer answers[1024];
    int clients = 0, n;
    do {
        fds[0].events = clients < 1023 ? POLLIN : 0; /* no room: clients wait in the backlog */
        ok(poll(fds, 1 + clients, -1), "poll"); /* sleeps until a socket is ready */
        for (int i = clients; i >= 0; i--) { /* downwards, since the last moves into a gap */
            if (fds[i].revents == 0)
                continue;
            if (i == 0) { /* ready: neither accept nor recv sleeps */
                int client = ok(accept(listener, NULL, NULL), "accept");
                fds[++clients] = (struct pollfd){client, POLLIN, 0};
                answers[clients].from = answers[clients].to = 0;
                continue;
            }
            struct answer *answer = &answers[i];
            if (answer->from == answer->to) { /* nothing waits */
                answer->from = 0;
                answer->to = ok(recv(fds[i].fd, answer->data, sizeof answer->data, 0), "recv");
                if (answer->to == 0) {
                    ok(close(fds[i].fd), "close"); /* the client's recv returns 0 */
                    answers[i] = answers[clients];
                    fds[i] = fds[clients--];
                    continue;
                }
            }
            n = send(fds[i].fd, answer->data + answer->from, answer->to - answer->from,
                     MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n == -1 && errno == EAGAIN) /* full */
                n = 0;
            answer->from += ok(n, "send");
            /* One of the two: while an answer waits, nothing more is read. */
            fds[i].events = answer->from < answer->to ? POLLOUT : POLLIN;
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
