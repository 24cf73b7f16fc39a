/* A server that closes first: socket(2), setsockopt(2), bind(2), listen(2), accept(2), send(2).
   Wire: the server sends a line, and closes.
   cc -Wall tcp.c -o tcp; ./tcp server 127.0.0.1:7777 hello & sleep 1; ./tcp client 127.0.0.1:7777 */
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

static void server(struct sockaddr_in address, const char *message)
{
    int listener = ok(socket(AF_INET, SOCK_STREAM, 0), "socket");
    //[
    /* bind takes an address of which only connections in TIME_WAIT are left. */
    ok(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), "setsockopt");
    //]
    ok(bind(listener, &address, sizeof address), "bind");
    ok(listen(listener, 5), "listen"); /* from now on the kernel connects clients */
    int client = ok(accept(listener, NULL, NULL), "accept"); /* sleeps until a client comes */
    ok(dprintf(client, "%s\n", message), "write");
    ok(close(client), "close"); /* the client's recv returns 0 */
}

static void client(struct sockaddr_in address)
{
    int sock = ok(socket(AF_INET, SOCK_STREAM, 0), "socket");
    ok(connect(sock, &address, sizeof address), "connect"); /* sleeps until the host answers */
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
    if (valid && argc == 4 && strcmp(argv[1], "server") == 0)
        server(address, argv[3]);
    else if (valid && argc == 3 && strcmp(argv[1], "client") == 0)
        client(address);
    else
        return fprintf(stderr, "usage: tcp server PLACE MESSAGE | client PLACE\n"), 2;
}
