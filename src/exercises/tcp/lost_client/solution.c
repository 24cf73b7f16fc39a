/* TCP, one client after another, bare: accept(2) in a loop, and the calls of program tcp.
   Wire: a message a line, sent back. shutdown(2) is the end. The server starts first.
   Not here: two clients at once, host names, IPv6.
   cc -Wall tcp_iterative.c -o tcp; ./tcp server 127.0.0.1:7777 1 &
   sleep 1; ./tcp client 127.0.0.1:7777 hello world */
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

/* Returns -1 if the client is lost: ECONNRESET, EPIPE. */
static int serve(int client)
{
    char data[4096];
    long n;
    while ((n = recv(client, data, sizeof data, 0)) > 0) /* sleeps until data comes */
        /* MSG_NOSIGNAL: EPIPE, and no SIGPIPE, if the client has left. */
        if (send(client, data, n, MSG_NOSIGNAL) == -1) /* sleeps while the socket is full */
            return -1;
    return n;
}

static void server(struct sockaddr_in address, long clients)
{
    int listener = ok(socket(AF_INET, SOCK_STREAM, 0), "socket");
    /* SO_REUSEADDR: or bind fails while a connection of an earlier server is in TIME_WAIT. */
    ok(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), "setsockopt");
    ok(bind(listener, &address, sizeof address), "bind");
    ok(listen(listener, 5), "listen"); /* from now on the kernel connects clients */
    for (; clients != 0; clients--) {
        int client = ok(accept(listener, NULL, NULL), "accept"); /* sleeps until a client comes */
        if (serve(client) == -1)
            fprintf(stderr, "a client was lost: %s\n", strerrorname_np(errno));
        ok(close(client), "close"); /* the client's recv returns 0 */
    }
}

static void client(struct sockaddr_in address, char *messages[])
{
    int sock = ok(socket(AF_INET, SOCK_STREAM, 0), "socket");
    ok(connect(sock, &address, sizeof address), "connect"); /* sleeps until the host answers */
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
    char host[16] = "";
    unsigned short port = 0;
    sscanf(argc > 2 ? argv[2] : "", "%15[^:]:%hu", host, &port);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int valid = port > 0 && inet_pton(AF_INET, host, &address.sin_addr) == 1;
    char *end = "";
    long clients = argc > 3 ? strtol(argv[3], &end, 10) : -1; /* for ever */
    if (valid && argc <= 4 && (argc == 3 || clients > 0) && !*end && strcmp(argv[1], "server") == 0)
        server(address, clients);
    else if (valid && strcmp(argv[1], "client") == 0)
        client(address, argv + 3);
    else
        return fprintf(stderr, "usage: tcp_iterative server PLACE [CLIENTS] | "
                               "client PLACE MESSAGE...\n"), 2;
}
