/* A file, whole or not at all: open(2), write(2), fsync(2), rename(2), read(2), unlink(2).
   Wire: a message a line. The end is the end of the file.
   cc -Wall file.c -o file; ./file sender /tmp/f hello world; ./file receiver /tmp/f */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static void sender(const char *name, char *messages[])
{
    char unfinished[4096]; /* a name that no receiver opens */
    snprintf(unfinished, sizeof unfinished, "%s.tmp", name);
    int new = O_CREAT | O_EXCL; /* EEXIST: another sender writes it */
    int file = ok(open(unfinished, O_WRONLY | new, 0600), "open");
    bool whole = true;
    for (; whole && *messages; messages++) /* dprintf writes the rest of a short write(2) */
        whole = dprintf(file, "%s\n", *messages) >= 0;
    whole = whole && fsync(file) == 0; /* sleeps until all bytes are on the disk */
    if (!whole || rename(unfinished, name) == -1) { /* the whole file appears at once */
        int cause = errno;
        unlink(unfinished); /* or the next sender fails with EEXIST */
        errno = cause;
        ok(-1, "write");
    }
}

static void receiver(const char *name)
{
    int file = ok(open(name, O_RDONLY), "open"); /* ENOENT: no file was sent yet */
    ok(unlink(name), "unlink"); /* the file has no name now, and is there until it is closed */
    char buffer[4096];
    long n;
    while ((n = ok(read(file, buffer, sizeof buffer), "read")) > 0) /* 0: the end of the file */
        ok(write(1, buffer, n), "write");
}

int main(int argc, char *argv[])
{
    if (argc >= 3 && strcmp(argv[1], "sender") == 0)
        sender(argv[2], argv + 3);
    else if (argc == 3 && strcmp(argv[1], "receiver") == 0)
        receiver(argv[2]);
    else
        return fprintf(stderr, "usage: file sender PLACE MESSAGE... | receiver PLACE\n"), 2;
}
