/* Datagrams on a Unix socket, bare: socket(2), bind(2), connect(2), sendto(2), recvfrom(2).
   Wire: a message a datagram, sent back. An empty one is the goodbye. The server starts first.
   Not here: a peer that is killed, two clients.
   cc -Wall unix_dgram.c -o unix; ./unix server /tmp/u & sleep 1; ./unix client /tmp/u hello */
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

/* Receives a datagram of any length into memory that is the caller's to free. */
static char *receive(int sock, long *n, struct sockaddr_un *sender, socklen_t *length)
{
    /* MSG_TRUNC: the datagram's own length. MSG_PEEK: it stays in the queue. */
    *n = ok(recv(sock, NULL, 0, MSG_PEEK | MSG_TRUNC), "recv"); /* sleeps until data comes */
    char *data = malloc(*n + 1); /* 1: malloc(0) may return NULL */
    if (data == NULL)
        ok(-1, "malloc");
    *n = ok(recvfrom(sock, data, *n, 0, sender, length), "recvfrom");
    return data;
}

static void server(struct sockaddr_un address)
{
    int sock = ok(socket(AF_UNIX, SOCK_DGRAM, 0), "socket");
    ok(bind(sock, &address, sizeof address), "bind"); /* makes the name */
    long n;
    do {
        struct sockaddr_un client;
        socklen_t length = sizeof client;
        char *data = receive(sock, &n, &client, &length); /* sleeps until a client sends */
        ok(sendto(sock, data, n, 0, &client, length),
           "sendto"); /* sleeps while the client's queue is full */
        free(data);
    } while (n > 0); /* 0: the client's goodbye, and now it has the server's */
    ok(unlink(address.sun_path), "unlink");
}

static void client(struct sockaddr_un address, char *messages[])
{
    int sock = ok(socket(AF_UNIX, SOCK_DGRAM, 0), "socket");
    struct sockaddr_un own = {.sun_family = AF_UNIX};
    ok(bind(sock, &own, sizeof own.sun_family), "bind"); /* the kernel chooses a name */
    ok(connect(sock, &address, sizeof address), "connect"); /* no sleep: only notes the address */
    char goodbye;
    for (; *messages; messages++) {
        long n = strlen(*messages);
        ok(send(sock, *messages, n, 0), "send"); /* sleeps while the server's queue is full */
        char *data = receive(sock, &n, NULL, NULL); /* sleeps until data comes */
        data[n] = '\n'; /* there is room for one more */
        ok(write(1, data, n + 1), "write");
        free(data);
    }
    ok(send(sock, "", 0, 0), "send"); /* the server's recvfrom returns 0 */
    ok(recv(sock, &goodbye, 1, 0), "recv"); /* sleeps until the server's goodbye */
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
        return fprintf(stderr, "usage: unix_dgram server PLACE | client PLACE MESSAGE...\n"), 2;
}
