/* A file, bare: open(2), write(2), fsync(2), rename(2), read(2), unlink(2).
   Wire: a message a line. The end is the end of the file.
   Not here: waiting for the file, two receivers, what a killed sender left. See chapter file.
   cc -Wall file.c -o file; ./file sender /tmp/f hello world; ./file receiver /tmp/f */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
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
    for (; *messages; messages++)
        ok(dprintf(file, "%s\n", *messages), "write");
    ok(fsync(file), "fsync"); /* sleeps until all bytes are on the disk */
    ok(rename(unfinished, name), "rename"); /* the whole file appears at once */
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
