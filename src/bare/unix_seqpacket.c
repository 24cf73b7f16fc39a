/* Packets on a Unix socket, bare: socket(2), SOCK_SEQPACKET, and the calls of program unix.
   Wire: a message a packet, sent back; simpler than the role's: no empty one. The server is first.
   Not here: more than 4096 bytes, a second client, a client that is killed. See chapter unix.
   cc -Wall unix_seqpacket.c -o unix; ./unix server /tmp/u & sleep 1; ./unix client /tmp/u hello */
#define _GNU_SOURCE
#include <errno.h>
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
    int listener = ok(socket(AF_UNIX, SOCK_SEQPACKET, 0), "socket");
    ok(bind(listener, &address, sizeof address), "bind"); /* makes the name */
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
    int sock = ok(socket(AF_UNIX, SOCK_SEQPACKET, 0), "socket");
    ok(connect(sock, &address, sizeof address), "connect"); /* sleeps while the backlog is full */
    char data[4097];
    for (; *messages; messages++) {
        long n = strlen(*messages);
        ok(send(sock, *messages, n, MSG_NOSIGNAL), "send"); /* sleeps while the socket is full */
        n = ok(recv(sock, data, 4096, 0), "recv"); /* sleeps until data comes */
        data[n] = '\n';
        ok(write(1, data, n + 1), "write");
    }
    ok(shutdown(sock, SHUT_WR), "shutdown"); /* the server's recv returns 0 */
    ok(recv(sock, data, 4096, 0), "recv"); /* sleeps until the server's close */
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
        return fprintf(stderr, "usage: unix_seqpacket server PLACE | client PLACE MESSAGE...\n"), 2;
}
