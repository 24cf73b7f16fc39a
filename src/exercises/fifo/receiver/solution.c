/* A FIFO's receiver: mkfifo(3), open(2), read(2), write(2), unlink(2).

   cc -Wall fifo.c -o fifo; ./fifo receiver /tmp/f & echo hello > /tmp/f */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

static void receiver(const char *name)
{
    //[
    if (mkfifo(name, 0600) == -1 && errno != EEXIST) /* the sender may be first */
        ok(-1, "mkfifo");
    int fifo = ok(open(name, O_RDONLY), "open"); /* sleeps until a writer opens it */
    char buffer[65536];
    long n;
    while ((n = ok(read(fifo, buffer, sizeof buffer), "read")) > 0) /* sleeps while it is empty */
        for (long written = 0; written < n;)
            written += ok(write(1, buffer + written, n - written), "write");
    /* 0: the last writer has closed it */
    ok(unlink(name), "unlink");
    //]
    //| /* Make the FIFO at `name`, open it, print what comes out, and remove it. */
    //| (void)name;
    //| errno = ENOSYS; /* not written yet */
    //| ok(-1, "receiver");
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "receiver") == 0)
        receiver(argv[2]);
    else
        return fprintf(stderr, "usage: receiver PLACE\n"), 2;
}
