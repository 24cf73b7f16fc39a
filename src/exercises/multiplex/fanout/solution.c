/* One to many: poll(2), accept(2), read(2), send(2).
   cc -Wall publish.c -o publish; ./publish publish /tmp/p & nc -U /tmp/p */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST = 100 };

/* Leaves with the name of the error, if a call has failed. */
static long ok(long result, const char *call)
{
    if (result == -1) {
        fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno));
        exit(1);
    }
    return result;
}

/* Whether the client has got all of it. */
static int tell(int client, const char *lines, long length)
{
    //[
    /* MSG_DONTWAIT: EAGAIN, or a part, and no sleep, if there is no room. */
    return send(client, lines, length, MSG_DONTWAIT | MSG_NOSIGNAL) == length;
    //]
    //| while (length > 0) { /* sleeps while there is no room */
    //|     long n = ok(send(client, lines, length, MSG_NOSIGNAL), "send");
    //|     lines += n;
    //|     length -= n;
    //| }
    //| return 1;
}

static void publish(struct sockaddr_un address)
{
    static char data[1 << 17];
    int clients[MOST], count = 0;
    long length = 0;
    int listener = ok(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    ok(bind(listener, (struct sockaddr *)&address, sizeof address), "bind");
    ok(listen(listener, MOST), "listen");
    struct pollfd fds[2] = {{.fd = 0, .events = POLLIN}, {.fd = listener, .events = POLLIN}};
    for (;;) {
        fds[1].fd = count < MOST ? listener : -1;
        ok(poll(fds, 2, -1), "poll"); /* sleeps until there are lines, or a client */
        if (fds[1].revents)
            clients[count++] = ok(accept(listener, NULL, NULL), "accept");
        if (!fds[0].revents)
            continue;
        long n = ok(read(0, data + length, sizeof data - length), "read");
        if (n == 0)
            break;
        length += n;
        char *end = memrchr(data, '\n', length);
        long whole = end ? end + 1 - data : 0;
        for (int i = 0; i < count; i++)
            if (!tell(clients[i], data, whole)) {
                ok(close(clients[i]), "close");
                clients[i--] = clients[--count];
            }
        memmove(data, data + whole, length -= whole);
    }
    ok(unlink(address.sun_path), "unlink");
}

int main(int argc, char *argv[])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, argc > 2 && strlen(argv[2]) <= 107 ? argv[2] : "");
    if (*address.sun_path && argc == 3 && strcmp(argv[1], "publish") == 0) /* 1 to 107 bytes */
        publish(address);
    else
        return fprintf(stderr, "usage: publish PLACE\n"), 2;
}
