/* UDP, bare, whose client sends again: socket(2), bind(2), connect(2), send(2), poll(2), recv(2).
   Wire: `NUMBER LENGTH MESSAGE`, sent back; an empty one is the goodbye. The server starts first.
   Not here: a message that is carried out twice, more than 4096 bytes, two clients.
   cc -Wall udp.c -o udp; ./udp server 127.0.0.1:7778 & sleep 1; ./udp client 127.0.0.1:7778 hi */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
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
    char data[4096];
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

/* Sends the datagram until an answer comes that begins as it does, `head` bytes; an empty
   datagram is answered by an empty one. Returns the answer's length. */
static long ask(int sock, const char *datagram, long all, long head, char *data, long room)
{
    for (int tries = 0; tries < 8; tries++) {
        ok(send(sock, datagram, all, 0), "send");
        struct pollfd fds = {.fd = sock, .events = POLLIN};
        /* Sleeps until data comes, or the time is over: the datagram was lost, or the answer. */
        while (ok(poll(&fds, 1, 250), "poll") > 0) {
            long n = ok(recv(sock, data, room, 0), "recv");
            if (all == 0 ? n == 0 : n >= head && memcmp(data, datagram, head) == 0)
                return n;
        }
    }
    errno = ETIMEDOUT;
    return ok(-1, "recv");
}

static void client(struct sockaddr_in address, char *messages[])
{
    int sock = ok(socket(AF_INET, SOCK_DGRAM, 0), "socket");
    /* Nothing is sent: only notes the address, and takes a free port. */
    ok(connect(sock, &address, sizeof address), "connect");
    char data[4097]; /* one more for the newline */
    for (int number = 1; *messages; number++, messages++) {
        char *datagram;
        long all = ok(asprintf(&datagram, "%d %zu %s", number, strlen(*messages), *messages),
                      "asprintf");
        long head = all - strlen(*messages);
        long n = ask(sock, datagram, all, head, data, 4096);
        free(datagram);
        data[n] = '\n';
        ok(write(1, data + head, n + 1 - head), "write");
    }
    ask(sock, "", 0, 0, data, 4096); /* the server's recvfrom returns 0 */
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
