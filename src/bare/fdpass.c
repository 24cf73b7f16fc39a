/* A connection passed to another process, bare: sendmsg(2), recvmsg(2), SCM_RIGHTS of unix(7).
   Wire: the byte x with a descriptor, then OK. The client's: program tcp's. The server is first.
   Not here: a worker that ends without its OK, two workers, two clients. See chapter fdpass.
   cc -Wall fdpass.c -o fdpass; ./fdpass server /tmp/s 127.0.0.1:7777 &
   sleep 1; ./fdpass worker /tmp/s & ./fdpass client 127.0.0.1:7777 hello world */
#define _GNU_SOURCE
#include <arpa/inet.h>
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

/* Whether `place` is HOST:PORT; stores the address. */
static int parse(const char *place, struct sockaddr_in *address)
{
    char host[16] = "";
    unsigned short port = 0;
    sscanf(place, "%15[^:]:%hu", host, &port);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    return port > 0 && inet_pton(AF_INET, host, &address->sin_addr) == 1;
}

static void server(struct sockaddr_un name, struct sockaddr_in address)
{
    int workers = ok(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    ok(bind(workers, &name, sizeof name), "bind"); /* makes the name */
    ok(listen(workers, 5), "listen"); /* from now on the kernel connects workers */
    int clients = ok(socket(AF_INET, SOCK_STREAM, 0), "socket");
    /* SO_REUSEADDR: or bind fails while a connection of an earlier server is in TIME_WAIT. */
    ok(setsockopt(clients, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), "setsockopt");
    ok(bind(clients, &address, sizeof address), "bind");
    ok(listen(clients, 5), "listen"); /* from now on the kernel connects clients */
    int worker = ok(accept(workers, NULL, NULL), "accept"); /* sleeps until a worker comes */
    int client = ok(accept(clients, NULL, NULL), "accept"); /* sleeps until a client comes */
    _Alignas(struct cmsghdr) char room[CMSG_SPACE(sizeof client)] = {0};
    struct msghdr message = {.msg_iov = &(struct iovec){"x", 1}, .msg_iovlen = 1,
                             .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof client);
    memcpy(CMSG_DATA(rights), &client, sizeof client);
    /* MSG_NOSIGNAL: EPIPE, and no SIGPIPE, if the worker has left. */
    ok(sendmsg(worker, &message, MSG_NOSIGNAL), "sendmsg"); /* sleeps while the socket is full */
    ok(recv(worker, (char[2]){0}, 2, MSG_WAITALL), "recv"); /* sleeps until OK: it has a copy */
    ok(close(client), "close"); /* the worker's copy keeps the connection open */
    ok(close(worker), "close"); /* the worker's recvmsg returns 0 */
    ok(unlink(name.sun_path), "unlink");
}

static void worker(struct sockaddr_un name)
{
    int sock = ok(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    ok(connect(sock, &name, sizeof name), "connect"); /* sleeps while the backlog is full */
    for (;;) {
        char byte, data[4096];
        _Alignas(struct cmsghdr) char room[CMSG_LEN(sizeof(int))]; /* the kernel closes others */
        struct msghdr got = {.msg_iov = &(struct iovec){&byte, 1}, .msg_iovlen = 1,
                             .msg_control = room, .msg_controllen = sizeof room};
        /* MSG_CMSG_CLOEXEC: no program that this one starts inherits the descriptor. */
        if (ok(recvmsg(sock, &got, MSG_CMSG_CLOEXEC), "recvmsg") == 0) /* sleeps until x comes */
            return; /* the server has left */
        struct cmsghdr *rights = CMSG_FIRSTHDR(&got);
        if (rights == NULL)
            continue;
        int client; /* another number than the server's, of the same open socket */
        memcpy(&client, CMSG_DATA(rights), sizeof client);
        ok(send(sock, "OK", 2, MSG_NOSIGNAL), "send"); /* the server's recv returns */
        long n;
        /* recv sleeps until data comes. */
        while ((n = ok(recv(client, data, sizeof data, 0), "recv")) > 0)
            ok(send(client, data, n, MSG_NOSIGNAL), "send"); /* sleeps while the socket is full */
        ok(close(client), "close"); /* the last copy: the client's recv returns 0 */
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
    struct sockaddr_un name = {.sun_family = AF_UNIX}; /* 1 to 107 bytes */
    struct sockaddr_in address;
    strcpy(name.sun_path, argc > 2 && strlen(argv[2]) <= 107 ? argv[2] : "");
    int named = *name.sun_path != '\0';
    if (named && argc == 4 && strcmp(argv[1], "server") == 0 && parse(argv[3], &address))
        server(name, address);
    else if (named && argc == 3 && strcmp(argv[1], "worker") == 0)
        worker(name);
    else if (argc >= 3 && strcmp(argv[1], "client") == 0 && parse(argv[2], &address))
        client(address, argv + 3);
    else
        return fprintf(stderr, "usage: fdpass server PLACE ADDRESS | worker PLACE | "
                               "client ADDRESS MESSAGE...\n"), 2;
}
