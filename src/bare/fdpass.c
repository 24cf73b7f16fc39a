/* A connection passed to another process, bare: sendmsg(2), recvmsg(2), SCM_RIGHTS of unix(7).
   Wire: the byte x with a descriptor, then OK. The client's: program tcp's. The server is first.
   Not here: a worker that ends without its OK, two workers, two clients. See chapter fdpass.
   cc -Wall fdpass.c -o fdpass; ./fdpass server /tmp/s 127.0.0.1:7777; ./fdpass worker /tmp/s
   ./fdpass client 127.0.0.1:7777 hello world */
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

/* One byte, with room for one descriptor. */
static char byte = 'x';
static _Alignas(struct cmsghdr) char room[CMSG_SPACE(sizeof(int))];
static struct iovec bytes = {&byte, 1};
static struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = room,
                                .msg_controllen = sizeof room};

/* The address of HOST:PORT. */
static struct sockaddr_in tcp(const char *place)
{
    char host[16] = "";
    unsigned short port = 0;
    sscanf(place, "%15[^:]:%hu", host, &port);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (port == 0 || inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        errno = EINVAL;
        ok(-1, place);
    }
    return address;
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
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof client);
    memcpy(CMSG_DATA(rights), &client, sizeof client);
    /* MSG_NOSIGNAL: EPIPE, and no SIGPIPE, if the worker has left. */
    ok(sendmsg(worker, &message, MSG_NOSIGNAL), "sendmsg"); /* sleeps while the socket is full */
    ok(recv(worker, (char[2]){0}, 2, MSG_WAITALL), "recv"); /* sleeps until OK: it has a copy */
    close(client); /* the worker's copy keeps the connection open */
    close(worker); /* the worker's recvmsg returns 0 */
    unlink(name.sun_path);
}

static void worker(struct sockaddr_un name)
{
    int server = ok(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    ok(connect(server, &name, sizeof name), "connect"); /* sleeps while the backlog is full */
    for (;;) {
        struct msghdr got = message;
        /* MSG_CMSG_CLOEXEC: no program that this one starts inherits the descriptor. */
        if (ok(recvmsg(server, &got, MSG_CMSG_CLOEXEC), "recvmsg") == 0) /* sleeps until x comes */
            return; /* the server has left */
        struct cmsghdr *rights = CMSG_FIRSTHDR(&got);
        if (rights == NULL)
            continue;
        int client; /* another number than the server's, of the same open socket */
        memcpy(&client, CMSG_DATA(rights), sizeof client);
        ok(send(server, "OK", 2, MSG_NOSIGNAL), "send"); /* the server's recv returns */
        char data[4096];
        long n;
        /* recv sleeps until data comes. */
        while ((n = ok(recv(client, data, sizeof data, 0), "recv")) > 0)
            ok(send(client, data, n, MSG_NOSIGNAL), "send"); /* sleeps while the socket is full */
        close(client); /* the last copy: the client's recv returns 0 */
    }
}

static void client(struct sockaddr_in address, char *messages[])
{
    int server = ok(socket(AF_INET, SOCK_STREAM, 0), "socket");
    ok(connect(server, &address, sizeof address), "connect"); /* sleeps until the host answers */
    for (; *messages; messages++) /* if the server has left, SIGPIPE ends this process */
        ok(dprintf(server, "%s\n", *messages), "write"); /* sleeps while the socket is full */
    ok(shutdown(server, SHUT_WR), "shutdown"); /* the server's recv returns 0 */
    char data[4096];
    long n;
    while ((n = ok(recv(server, data, sizeof data, 0), "recv")) > 0) /* sleeps until data comes */
        ok(write(1, data, n), "write");
}

int main(int argc, char *argv[])
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    strncpy(name.sun_path, argc > 2 ? argv[2] : "", sizeof name.sun_path - 1); /* 107 bytes */
    if (argc == 4 && strcmp(argv[1], "server") == 0)
        server(name, tcp(argv[3]));
    else if (argc == 3 && strcmp(argv[1], "worker") == 0)
        worker(name);
    else if (argc >= 3 && strcmp(argv[1], "client") == 0)
        client(tcp(argv[2]), argv + 3);
    else
        return fprintf(stderr, "usage: fdpass server PLACE ADDRESS | worker PLACE | "
                               "client ADDRESS MESSAGE...\n"), 2;
}
