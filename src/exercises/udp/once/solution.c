/* A server of UDP that does once what it is told twice: socket(2), bind(2), recvfrom(2), sendto(2).
   Wire: `NUMBER LENGTH MESSAGE`, sent back. A signal ends the server.
   cc -Wall once.c -o once; ./once server 127.0.0.1:7778 & printf '1 2 hi' | nc -uw1 127.0.0.1 7778 */
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

//[
/* The last number of each client: more of them than anybody will start here. */
static struct { struct sockaddr_in address; unsigned last; } clients[1024];

static unsigned *last_of(struct sockaddr_in address)
{
    int at = 0;
    while (at < 1023 && clients[at].last != 0 &&
           (clients[at].address.sin_addr.s_addr != address.sin_addr.s_addr ||
            clients[at].address.sin_port != address.sin_port))
        at++;
    clients[at].address = address;
    return &clients[at].last;
}

//]
static void server(struct sockaddr_in address)
{
    int sock = ok(socket(AF_INET, SOCK_DGRAM, 0), "socket");
    /* From now on the kernel keeps what comes to this port. */
    ok(bind(sock, (struct sockaddr *)&address, sizeof address), "bind");
    static char data[65537];
    for (;;) {
        struct sockaddr_in client;
        socklen_t size = sizeof client;
        long n = ok(recvfrom(sock, data, sizeof data - 1, 0, (struct sockaddr *)&client, &size),
                    "recvfrom"); /* sleeps until a datagram comes */
        data[n] = 0;
        unsigned number;
        long length;
        int head = 0;
        if (sscanf(data, "%u %ld%n", &number, &length, &head) != 2 || data[head] != ' ')
            continue;
        head++;
        //[
        unsigned *last = last_of(client);
        if (length != n - head || number < *last)
            continue; /* it was cut, or overtaken */
        int new = number > *last;
        *last = number;
        if (new)
            //]
            dprintf(1, "%s\n", data + head);
        ok(sendto(sock, data, n, 0, (struct sockaddr *)&client, size), "sendto");
    }
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
    else
        return fprintf(stderr, "usage: once server PLACE\n"), 2;
}
