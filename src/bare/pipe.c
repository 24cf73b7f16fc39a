/* A pipe, bare: pipe(2), fork(2), close(2), write(2), read(2), waitpid(2).
   Wire: a message a line. The end is the last writer's close(2).
   Not here: an answer (a pipe goes one way), a child that fails, SIGPIPE. See chapter pipe.
   cc -Wall pipe.c -o pipe; ./pipe sender hello world | ./pipe receiver; ./pipe fork hello */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
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

static void sender(int writing, char *messages[])
{
    for (; *messages; messages++)
        ok(dprintf(writing, "%s\n", *messages), "write"); /* sleeps while it is full */
    ok(close(writing), "close"); /* the reader's read returns 0 */
}

static void receiver(int reading)
{
    char buffer[4096];
    long n;
    while ((n = ok(read(reading, buffer, sizeof buffer), "read")) > 0) /* sleeps while empty */
        ok(write(1, buffer, n), "write");
    /* 0: the last writer has closed it */
}

/* Makes the pipe, and a second process that gets both ends as well. */
static void both(char *messages[])
{
    int ends[2]; /* to read from, to write to */
    ok(pipe(ends), "pipe");
    pid_t child = ok(fork(), "fork");
    if (child == 0) {
        ok(close(ends[1]), "close"); /* or read never returns 0: the child is a writer as well */
        receiver(ends[0]);
        exit(0);
    }
    ok(close(ends[0]), "close"); /* or write would never fail with EPIPE: the parent is a reader */
    sender(ends[1], messages); /* closes it as well: the child's read returns 0 */
    ok(waitpid(child, NULL, 0), "waitpid"); /* sleeps until the child has ended */
}

int main(int argc, char *argv[])
{
    if (argc >= 2 && strcmp(argv[1], "sender") == 0)
        sender(1, argv + 2);
    else if (argc == 2 && strcmp(argv[1], "receiver") == 0)
        receiver(0);
    else if (argc >= 2 && strcmp(argv[1], "fork") == 0)
        both(argv + 2);
    else
        return fprintf(stderr, "usage: pipe sender MESSAGE... | receiver | fork MESSAGE...\n"), 2;
}
