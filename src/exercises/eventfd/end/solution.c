/* An eventfd whose waiter sees its notifier leave: eventfd(2), poll(2), read(2), write(2), unix(7).
   Wire: the byte x with the eventfd; then no bytes but a number: a write adds, a read takes all.
   cc -Wall eventfd.c -o eventfd; ./eventfd waiter /tmp/e 3 &
   sleep 1; ./eventfd notifier /tmp/e 3 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Leaves with the name of the error, if a call has failed. */
static long ok(long result, const char *call)
{
    if (result == -1)
        exit((fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno)), 1));
    return result;
}

static void waiter(struct sockaddr_un name, uint64_t total)
{
    int event = ok(eventfd(0, EFD_CLOEXEC), "eventfd"); /* a counter of 0, without a name */
    int listener = ok(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    ok(bind(listener, &name, sizeof name), "bind"); /* makes the name */
    ok(listen(listener, 5), "listen"); /* from now on the kernel connects notifiers */
    int notifier = ok(accept(listener, NULL, NULL), "accept"); /* sleeps until a notifier comes */
    _Alignas(struct cmsghdr) char room[CMSG_SPACE(sizeof event)] = {0};
    struct msghdr message = {.msg_iov = &(struct iovec){"x", 1}, .msg_iovlen = 1,
                             .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    *rights = (struct cmsghdr){CMSG_LEN(sizeof event), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(rights), &event, sizeof event);
    /* MSG_NOSIGNAL: EPIPE, and no SIGPIPE, if the notifier has left. */
    ok(sendmsg(notifier, &message, MSG_NOSIGNAL), "sendmsg");
    for (uint64_t taken = 0, number; taken < total; taken += number) {
        struct pollfd fds[] = {{event, POLLIN, 0}, {notifier, POLLIN, 0}};
        ok(poll(fds, 2, -1), "poll"); /* sleeps until there is a number, or the end */
        if (!fds[0].revents) { /* the end, and what was written before that is taken */
            ok(unlink(name.sun_path), "unlink");
            fprintf(stderr, "the notifier has left: took %ju of %ju\n", (uintmax_t)taken,
                    (uintmax_t)total);
            exit(1);
        }
        /* takes all of it */
        ok(read(event, &number, sizeof number), "read");
        ok(dprintf(1, "took %ju\n", (uintmax_t)number), "write");
    }
    ok(close(notifier), "close"); /* it stayed open: its end is the only one that is seen */
    ok(unlink(name.sun_path), "unlink");
}

static void notifier(struct sockaddr_un name, char *numbers[])
{
    int sock = ok(socket(AF_UNIX, SOCK_STREAM, 0), "socket"), event;
    ok(connect(sock, &name, sizeof name), "connect"); /* sleeps while the backlog is full */
    _Alignas(struct cmsghdr) char room[CMSG_LEN(sizeof event)], byte;
    struct msghdr got = {.msg_iov = &(struct iovec){&byte, 1}, .msg_iovlen = 1,
                         .msg_control = room, .msg_controllen = sizeof room};
    /* MSG_CMSG_CLOEXEC: no program that this one starts inherits the descriptor. */
    ok(recvmsg(sock, &got, MSG_CMSG_CLOEXEC), "recvmsg"); /* sleeps until x comes */
    if (CMSG_FIRSTHDR(&got) == NULL)
        ok((errno = EBADMSG, -1), "recvmsg"); /* the waiter has left, or sent no descriptor */
    memcpy(&event, CMSG_DATA(CMSG_FIRSTHDR(&got)), sizeof event); /* of the same counter */
    for (; *numbers; numbers++) {
        uint64_t number = strtoull(*numbers, NULL, 10);
        /* sleeps while the sum is over 2^64 - 2 */
        ok(write(event, &number, sizeof number), "write");
    }
} /* the end of a process that has the eventfd open is no end of file */

int main(int argc, char *argv[])
{
    struct sockaddr_un name = {.sun_family = AF_UNIX}; /* 1 to 107 bytes */
    strcpy(name.sun_path, argc > 2 && strlen(argv[2]) <= 107 ? argv[2] : "");
    if (*name.sun_path && argc == 4 && strcmp(argv[1], "waiter") == 0)
        waiter(name, strtoull(argv[3], NULL, 10));
    else if (*name.sun_path && strcmp(argv[1], "notifier") == 0)
        notifier(name, argv + 3);
    else
        return fprintf(stderr, "usage: eventfd waiter PLACE TOTAL | notifier PLACE NUMBER...\n"), 2;
}
