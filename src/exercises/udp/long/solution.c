/* UDP, with room for any datagram: socket(2), bind(2), connect(2), sendto(2), recvfrom(2), send(2), recv(2).
   Wire: `NUMBER LENGTH MESSAGE`, sent back; an empty one is the goodbye. The server starts first.
   Not here: a datagram that is lost, two clients. The most that one carries is 65507 bytes.
   cc -Wall udp.c -o udp; ./udp server 127.0.0.1:7778 & sleep 1; ./udp client 127.0.0.1:7778 hi */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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

static void server(struct sockaddr_in address)
{
    int sock = ok(socket(AF_INET, SOCK_DGRAM, 0), "socket");
    /* From now on the kernel keeps what comes to this port. */
    ok(bind(sock, &address, sizeof address), "bind");
    char data[65507];
    long n;
    do {
        struct sockaddr_in client;
        socklen_t length = sizeof client;
        n = ok(recvfrom(sock, data, sizeof data, 0, &client, &length),
               "recvfrom"); /* sleeps until a datagram comes */
        /* No error tells whether anybody gets it. */
        ok(sendto(sock, data, n, 0, &client, length), "sendto");
    } while (n > 0); /* 0: the client's goodbye, and now it has the server's */
}

static void client(struct sockaddr_in address, char *messages[])
{
    int sock = ok(socket(AF_INET, SOCK_DGRAM, 0), "socket");
    /* Nothing is sent: only notes the address, and takes a free port. */
    ok(connect(sock, &address, sizeof address), "connect");
    char data[65508]; /* one more for the newline */
    for (int number = 1; *messages; number++, messages++) {
        char *datagram;
        long all = ok(asprintf(&datagram, "%d %zu %s", number, strlen(*messages), *messages),
                      "asprintf");
        long head = all - strlen(*messages);
        ok(send(sock, datagram, all, 0), "send");
        free(datagram);
        long n = ok(recv(sock, data, 65507, 0), "recv"); /* sleeps until data comes, or for ever */
        data[n] = '\n';
        ok(n < head ? (errno = EBADMSG, -1) : write(1, data + head, n + 1 - head), "write");
    }
    ok(send(sock, "", 0, 0), "send"); /* the server's recvfrom returns 0 */
    ok(recv(sock, data, 65507, 0), "recv"); /* sleeps until the server's goodbye */
}

int main(int argc, char *argv[])
{
    char host[16] = "";
    unsigned short port = 0;
    sscanf(argc > 2 ? argv[2] : "", "%15[^:]:%hu", host, &port);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int valid = port > 0 && inet_pton(AF_INET, host, &address.sin_addr) == 1;
    if (valid && argc == 3 && strcmp(argv[1], "server") == 0)
        server(address);
    else if (valid && strcmp(argv[1], "client") == 0)
        client(address, argv + 3);
    else
        return fprintf(stderr, "usage: udp server PLACE | client PLACE MESSAGE...\n"), 2;
}
