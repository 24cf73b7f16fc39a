/* An eventfd that is read until its connection ends: recvmsg(2), poll(2), read(2), eventfd(2).

   cc -Wall reader.c -o reader */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

//[
/* Leaves with the name of the error, if a call has failed. */
static long ok(long result, const char *call)
{
    if (result == -1) {
        fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno));
        exit(1);
    }
    return result;
}
//]

static void reader(struct sockaddr_un name)
{
    //[
    int sock = ok(socket(AF_UNIX, SOCK_STREAM, 0), "socket"), event;
    ok(connect(sock, &name, sizeof name), "connect"); /* sleeps while the backlog is full */
    _Alignas(struct cmsghdr) char room[CMSG_LEN(sizeof event)], byte;
    struct msghdr got = {.msg_iov = &(struct iovec){&byte, 1}, .msg_iovlen = 1,
                         .msg_control = room, .msg_controllen = sizeof room};
    ok(recvmsg(sock, &got, MSG_CMSG_CLOEXEC), "recvmsg"); /* sleeps until x comes */
    if (CMSG_FIRSTHDR(&got) == NULL)
        ok((errno = EBADMSG, -1), "recvmsg");
    memcpy(&event, CMSG_DATA(CMSG_FIRSTHDR(&got)), sizeof event);
    for (;;) {
        struct pollfd fds[] = {{event, POLLIN, 0}, {sock, POLLIN, 0}};
        ok(poll(fds, 2, -1), "poll"); /* sleeps until there is a number, or the end */
        if (fds[0].revents) {
            uint64_t number;
            ok(read(event, &number, sizeof number), "read"); /* takes all, or 1 if it was made so */
            ok(dprintf(1, "%ju\n", (uintmax_t)number), "write");
        } else if (fds[1].revents) {
            return; /* only now: what was written before the end has been read */
        }
    }
    //]
    //| /* Connect to `name`, be passed the eventfd, and print its numbers until the end. */
    //| fprintf(stderr, "reader %s: not written yet\n", name.sun_path);
    //| exit(1);
}

int main(int argc, char *argv[])
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    if (argc != 3 || strcmp(argv[1], "reader") != 0 || strlen(argv[2]) > 107)
        return fprintf(stderr, "usage: reader PLACE\n"), 2;
    strcpy(name.sun_path, argv[2]);
    reader(name);
}
