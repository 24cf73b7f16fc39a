/* A FIFO whose reader may die: signal(2), mkfifo(3), open(2), write(2), read(2), unlink(2).
   Wire: a message a line. The end is the last writer's close(2).
   cc -Wall fifo.c -o fifo; ./fifo receiver /tmp/f & ./fifo sender /tmp/f hello world */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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

/* Either side may be first. */
static void make(const char *name)
{
    if (mkfifo(name, 0600) == -1 && errno != EEXIST)
        ok(-1, "mkfifo");
}

static void receiver(const char *name)
{
    make(name);
    int fifo = ok(open(name, O_RDONLY), "open"); /* sleeps until a writer opens it */
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
    signal(SIGPIPE, SIG_IGN); /* a write that nobody can read returns EPIPE, and does not kill */
    for (int count = 0; messages[count]; count++) {
        char *message;
        long length = ok(asprintf(&message, "%s\n", messages[count]), "asprintf");
        for (long written = 0; written < length;) { /* a part of a message is none */
            long n = write(fifo, message + written, length - written); /* sleeps while it is full */
            if (n == -1) {
                fprintf(stderr, "write: %s; messages handed over: %d\n", strerrorname_np(errno),
                        count);
                exit(1);
            }
            written += n;
        }
        free(message);
    }
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
