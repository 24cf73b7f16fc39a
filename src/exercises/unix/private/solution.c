/* A Unix socket, bare: socket(2), bind(2), listen(2), accept(2), connect(2), send(2), recv(2).
   Wire: a message a line, sent back. shutdown(2) is the end. The server starts first.
   Not here: a second client, a name that a killed server left, full sockets.
   cc -Wall unix.c -o unix; ./unix server /tmp/u & sleep 1; ./unix client /tmp/u hello world */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
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
    mode_t before = umask(0177); /* of the whole process */
    ok(bind(listener, &address, sizeof address), "bind"); /* makes the name, mode 0600 */
    umask(before);
    ok(listen(listener, 5), "listen"); /* from now on the kernel connects clients */
    int client = ok(accept(listener, NULL, NULL), "accept"); /* sleeps until a client comes */
    char data[4096];
    long n;
    while ((n = ok(recv(client, data, sizeof data, 0), "recv")) > 0) /* sleeps until data comes */
        /* MSG_NOSIGNAL: EPIPE, and no SIGPIPE, if the client has left. */
        ok(send(client, data, n, MSG_NOSIGNAL), "send"); /* sleeps while the socket is full */
    ok(close(client), "close"); /* the client's recv returns 0 */
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
        return fprintf(stderr, "usage: unix server PLACE | client PLACE MESSAGE...\n"), 2;
}
