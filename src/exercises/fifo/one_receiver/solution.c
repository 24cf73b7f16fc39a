/* A FIFO with one receiver: mkfifo(3), open(2), flock(2), poll(2), read(2), unlink(2).
   Wire: a message a line. The end is the last writer's close(2).
   cc -Wall fifo.c -o fifo; ./fifo receiver /tmp/f & ./fifo sender /tmp/f hello world */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
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

/* Either side may be first. */
static void make(const char *name)
{
    if (mkfifo(name, 0600) == -1 && errno != EEXIST)
        ok(-1, "mkfifo");
}

static void receiver(const char *name)
{
    make(name);
    int fifo = ok(open(name, O_RDONLY | O_NONBLOCK), "open"); /* returns at once */
    ok(flock(fifo, LOCK_EX | LOCK_NB), "flock"); /* EWOULDBLOCK: another receiver is there */
    struct pollfd writer = { fifo, POLLIN, 0 };
    ok(poll(&writer, 1, -1), "poll"); /* sleeps until a writer has written, or has come and gone */
    ok(fcntl(fifo, F_SETFL, 0), "fcntl"); /* without O_NONBLOCK */
    char buffer[4096];
    long n;
    while ((n = ok(read(fifo, buffer, sizeof buffer), "read")) > 0) /* sleeps while it is empty */
        ok(write(1, buffer, n), "write");
    /* 0: the last writer has closed it */
    if (unlink(name) == -1 && errno != ENOENT) /* the role (ipclab fifo sender) has removed it */
        ok(-1, "unlink");
}

static void sender(const char *name, char *messages[])
{
    make(name);
    int fifo = ok(open(name, O_WRONLY), "open"); /* sleeps until a reader opens it */
    for (; *messages; messages++)
        ok(dprintf(fifo, "%s\n", *messages), "write"); /* sleeps while it is full */
    ok(close(fifo), "close"); /* the reader's read returns 0 */
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "receiver") == 0)
        receiver(argv[2]);
    else if (argc >= 3 && strcmp(argv[1], "sender") == 0)
        sender(argv[2], argv + 3);
    else
        return fprintf(stderr, "usage: fifo receiver PLACE | sender PLACE MESSAGE...\n"), 2;
}
