/* Files that are received, one a message: socket(2), connect(2), recvmsg(2), SCM_RIGHTS of unix(7).

   cc -Wall receiver.c -o receiver */
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

/* Prints what can be read from `fd`. */
static void print(int fd)
{
    char data[65536];
    long n;
    while ((n = ok(read(fd, data, sizeof data), "read")) > 0) /* a pipe: sleeps while it is empty */
        for (long written = 0; written < n;)
            written += ok(write(1, data + written, n - written), "write");
}

static void receiver(struct sockaddr_un place)
{
    int sock = ok(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    ok(connect(sock, (struct sockaddr *)&place, sizeof place), "connect");
    for (;;) {
        char byte;
        //[
        _Alignas(struct cmsghdr) char room[CMSG_SPACE(253 * sizeof(int))]; /* SCM_MAX_FD */
        //]
        //| _Alignas(struct cmsghdr) char room[CMSG_SPACE(sizeof(int))];
        struct msghdr got = {.msg_iov = &(struct iovec){&byte, 1}, .msg_iovlen = 1,
                             .msg_control = room, .msg_controllen = sizeof room};
        if (ok(recvmsg(sock, &got, MSG_CMSG_CLOEXEC), "recvmsg") == 0) /* sleeps */
            return; /* the other process has closed its end */
        struct cmsghdr *rights = CMSG_FIRSTHDR(&got);
        if (rights == NULL)
            continue;
        int fd;
        memcpy(&fd, CMSG_DATA(rights), sizeof fd);
        //[
        int count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof fd;
        if (count == 1 && !(got.msg_flags & MSG_CTRUNC))
            print(fd);
        for (int i = 0; i < count; i++) { /* whoever refuses them has them, too */
            memcpy(&fd, CMSG_DATA(rights) + i * sizeof fd, sizeof fd);
            ok(close(fd), "close");
        }
        //]
        //| print(fd);
        //| ok(close(fd), "close");
    }
}

int main(int argc, char *argv[])
{
    struct sockaddr_un place = {.sun_family = AF_UNIX};
    if (argc != 3 || strcmp(argv[1], "receiver") != 0 || strlen(argv[2]) >= sizeof place.sun_path)
        return fprintf(stderr, "usage: receiver PLACE\n"), 2;
    strcpy(place.sun_path, argv[2]);
    receiver(place);
}
