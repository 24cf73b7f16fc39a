/* A server that finds its socket, or makes one: sd_listen_fds(3), bind(2), listen(2), accept(2).
   Wire: the server sends a line, and closes.
   cc -Wall tcp.c -o tcp; ./tcp server 127.0.0.1:7777 hello & sleep 1; nc 127.0.0.1 7777 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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

static int listener(struct sockaddr_in address)
{
    //[
    const char *pid = getenv("LISTEN_PID");
    if (pid && atol(pid) == getpid()) {
        int listens = 0;
        socklen_t length = sizeof listens;
        ok(getsockopt(3, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length), "getsockopt");
        if (!listens) {
            fprintf(stderr, "descriptor 3 does not listen\n");
            exit(1);
        }
        ok(fcntl(3, F_SETFD, FD_CLOEXEC), "fcntl"); /* it is not for what this process may start */
        return 3;
    }
    //]
    int listener = ok(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    ok(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), "setsockopt");
    ok(bind(listener, &address, sizeof address), "bind");
    ok(listen(listener, 5), "listen"); /* from now on the kernel connects clients */
    return listener;
}

static void server(struct sockaddr_in address, const char *message)
{
    int client = ok(accept(listener(address), NULL, NULL), "accept"); /* sleeps until one comes */
    ok(dprintf(client, "%s\n", message), "write");
    ok(close(client), "close"); /* the client's recv returns 0 */
}

int main(int argc, char *argv[])
{
    char host[16] = "";
    unsigned short port = 0;
    sscanf(argc > 2 ? argv[2] : "", "%15[^:]:%hu", host, &port);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int valid = port > 0 && inet_pton(AF_INET, host, &address.sin_addr) == 1;
    if (!valid || argc != 4 || strcmp(argv[1], "server") != 0)
        return fprintf(stderr, "usage: tcp server PLACE MESSAGE\n"), 2;
    server(address, argv[3]);
}
