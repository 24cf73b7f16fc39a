/* Lines of many clients: poll(2), and the calls of program unix.
   Wire: a line, and a line back with its length. The server ends when its last client has left.
   cc -Wall lines.c -o lines; ./lines server /tmp/m & sleep 1; ncat -U /tmp/m */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
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

static void server(struct sockaddr_un address)
{
    int listener = ok(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    ok(bind(listener, &address, sizeof address), "bind"); /* makes the name */
    ok(listen(listener, 5), "listen"); /* from now on the kernel connects clients */
    struct pollfd fds[1024] = {{listener, POLLIN, 0}};
    int clients = 0;
    //[
    long lengths[1024]; /* of each client's line so far */
    //]
    do {
        fds[0].events = clients < 1023 ? POLLIN : 0; /* no room: clients wait in the backlog */
        ok(poll(fds, 1 + clients, -1), "poll"); /* sleeps until a socket is ready */
        for (int i = clients; i >= 0; i--) { /* downwards, since the last moves into a gap */
            if (fds[i].revents == 0)
                continue;
            if (i == 0) { /* ready: neither accept nor the first recv sleeps */
                int client = ok(accept(listener, NULL, NULL), "accept");
                fds[++clients] = (struct pollfd){client, POLLIN, 0};
                //[
                lengths[clients] = 0;
                //]
                continue;
            }
            //[
            char data[4096];
            /* Once: a second recv could sleep. */
            long n = ok(recv(fds[i].fd, data, sizeof data, 0), "recv");
            for (char *byte = data; byte < data + n; byte++)
                if (*byte == '\n') {
                    ok(dprintf(fds[i].fd, "%ld\n", lengths[i]), "write"); /* sleeps if full */
                    lengths[i] = 0;
                } else {
                    lengths[i]++;
                }
            //]
            //| char byte;
            //| long n, length = -1;
            //| do {
            //|     n = ok(recv(fds[i].fd, &byte, 1, 0), "recv");
            //|     length++;
            //| } while (n > 0 && byte != '\n');
            //| if (n > 0)
            //|     ok(dprintf(fds[i].fd, "%ld\n", length), "write"); /* sleeps while it is full */
            if (n == 0) {
                ok(close(fds[i].fd), "close"); /* the client's recv returns 0 */
                //[
                lengths[i] = lengths[clients];
                //]
                fds[i] = fds[clients--];
            }
        }
    } while (clients > 0);
    ok(unlink(address.sun_path), "unlink");
}

int main(int argc, char *argv[])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, argc > 2 && strlen(argv[2]) <= 107 ? argv[2] : "");
    if (*address.sun_path && argc == 3 && strcmp(argv[1], "server") == 0) /* 1 to 107 bytes */
        server(address);
    else
        return fputs("usage: lines server PLACE\n", stderr), 2;
}
