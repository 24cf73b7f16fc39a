/* Many clients in one thread, bare: select(2), and the calls of program unix.
   Wire: that of program unix. The server starts first, and ends when its last client has left.
   Not here: a bit for descriptor 1024, a client that reads no answer. See chapter multiplex.
   cc -Wall multiplex_select.c -o sel; ./sel server /tmp/m & sleep 1; ./sel client /tmp/m hi */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
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
    fd_set all;
    FD_ZERO(&all);
    FD_SET(listener, &all);
    char data[4096];
    int clients = 0, n;
    do {
        fd_set ready = all; /* select takes out what is not ready */
        ok(select(FD_SETSIZE, &ready, NULL, NULL, NULL), "select"); /* sleeps until one is ready */
        for (int fd = 0; fd < FD_SETSIZE; fd++) {
            if (!FD_ISSET(fd, &ready))
                continue;
            if (fd == listener) { /* ready: neither accept nor recv sleeps */
                int client = ok(accept(listener, NULL, NULL), "accept");
                FD_SET(client, &all);
                clients++;
            } else if ((n = ok(recv(fd, data, sizeof data, 0), "recv")) > 0) {
                ok(send(fd, data, n, MSG_NOSIGNAL), "send"); /* sleeps while it is full */
            } else {
                FD_CLR(fd, &all);
                ok(close(fd), "close"); /* the client's recv returns 0 */
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
        return fputs("usage: multiplex_select server PLACE | client PLACE MESSAGE...\n", stderr), 2;
}
