/* Files that are passed on: socket(2), connect(2), open(2), sendmsg(2), SCM_RIGHTS of unix(7).

   cc -Wall giver.c -o giver */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
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

static void giver(struct sockaddr_un place, char *files[])
{
    //[
    int sock = ok(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    ok(connect(sock, (struct sockaddr *)&place, sizeof place), "connect");
    for (; *files; files++) {
        int file = ok(open(*files, O_RDONLY), *files);
        _Alignas(struct cmsghdr) char room[CMSG_SPACE(sizeof file)] = {0};
        struct msghdr message = {.msg_iov = &(struct iovec){"x", 1}, .msg_iovlen = 1,
                                 .msg_control = room, .msg_controllen = sizeof room};
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof file);
        memcpy(CMSG_DATA(rights), &file, sizeof file);
        ok(sendmsg(sock, &message, MSG_NOSIGNAL), "sendmsg"); /* sleeps while the socket is full */
        ok(close(file), "close"); /* the one in flight keeps the file open */
    }
    //]
    //| /* Connect to `place`, and pass each of `files`, opened, with a byte x. */
    //| (void)place, (void)files;
    //| errno = ENOSYS; /* not written yet */
    //| ok(-1, "giver");
}

int main(int argc, char *argv[])
{
    struct sockaddr_un place = {.sun_family = AF_UNIX};
    if (argc < 3 || strcmp(argv[1], "giver") != 0 || strlen(argv[2]) >= sizeof place.sun_path)
        return fprintf(stderr, "usage: giver PLACE FILE...\n"), 2;
    strcpy(place.sun_path, argv[2]);
    giver(place, argv + 3);
}
