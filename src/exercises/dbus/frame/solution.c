/* A reader of D-Bus messages by hand: connect(2), read(2).

   cc -Wall reader.c -o reader; ./reader reader /tmp/d */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
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

//[
/* Reads so many bytes; ends where the peer has closed, well only if it may close here. */
static void read_all(int peer, unsigned char *bytes, size_t length, int may_close)
{
    for (size_t n = 0; n < length;) {
        long part = ok(read(peer, bytes + n, length - n), "read"); /* sleeps until bytes come */
        if (part == 0 && may_close && n == 0)
            exit(0);
        if (part == 0)
            exit((fprintf(stderr, "the peer has closed within a message\n"), 1));
        n += part;
    }
}

static uint32_t number(const unsigned char *head, int at)
{
    const unsigned char *b = head + at;
    return head[0] == 'B' ? (uint32_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3]
                          : (uint32_t)b[3] << 24 | b[2] << 16 | b[1] << 8 | b[0];
}

//]
static void reader(struct sockaddr_un address)
{
    int peer = ok(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
    ok(connect(peer, (struct sockaddr *)&address, sizeof address), "connect");
    //[
    for (;;) {
        unsigned char head[16];
        read_all(peer, head, sizeof head, 1);
        uint64_t fields = (number(head, 12) + 7ULL) / 8 * 8, rest = fields + number(head, 4);
        unsigned char *bytes = malloc(rest + 1);
        if (bytes == NULL)
            ok(-1, "malloc");
        read_all(peer, bytes, rest, 0);
        free(bytes);
        ok(dprintf(1, "%d %u %lu\n", head[1], number(head, 8), (unsigned long)rest + 16), "write");
    }
    //]
    //| /* Print a line for each message. */
    //| errno = ENOSYS; /* not written yet */
    //| ok(-1, "reader");
}

int main(int argc, char *argv[])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (argc != 3 || strcmp(argv[1], "reader") != 0)
        return fprintf(stderr, "usage: reader PLACE\n"), 2;
    strncpy(address.sun_path, argv[2], sizeof address.sun_path - 1);
    reader(address);
}
