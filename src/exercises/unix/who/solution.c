/* Who a client is: socket(2), bind(2), listen(2), accept(2), getsockopt(2), send(2), unix(7).
   Wire: the server sends a line, PID UID GID, and closes.
   cc -Wall who.c -o who; ./who server /tmp/u & sleep 1; ncat -U /tmp/u */
#define _GNU_SOURCE
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

static void server(struct sockaddr_un address)
{
    //[
    int listener = ok(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    ok(bind(listener, &address, sizeof address), "bind"); /* makes the name */
    ok(listen(listener, 5), "listen"); /* from now on the kernel connects clients */
    int client = ok(accept(listener, NULL, NULL), "accept"); /* sleeps until a client comes */
    struct ucred peer; /* what the kernel wrote down at the client's connect */
    socklen_t length = sizeof peer;
    ok(getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &length), "getsockopt");
    ok(dprintf(client, "%d %u %u\n", peer.pid, peer.uid, peer.gid), "write");
    ok(close(client), "close");
    ok(unlink(address.sun_path), "unlink");
    //]
    //| /* Make the socket, accept a client, tell it who it is, and remove the name. */
    //| (void)address;
    //| errno = ENOSYS; /* not written yet */
    //| ok(-1, "server");
}

int main(int argc, char *argv[])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, argc > 2 && strlen(argv[2]) <= 107 ? argv[2] : "");
    if (*address.sun_path && argc == 3 && strcmp(argv[1], "server") == 0) /* 1 to 107 bytes */
        server(address);
    else
        return fprintf(stderr, "usage: who server PLACE\n"), 2;
}
