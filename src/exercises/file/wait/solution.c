/* A file that is waited for: inotify(7), open(2), read(2), unlink(2).

   cc -Wall wait.c -o wait; ./wait receiver /tmp/f & echo hello > /tmp/x; mv /tmp/x /tmp/f */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
//[
#include <libgen.h>
//]
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
//[
#include <sys/inotify.h>
//]
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

/* Opens the file once it is there. */
static int open_later(const char *name)
{
    //[
    int watch = ok(inotify_init1(IN_CLOEXEC), "inotify_init1");
    char *copy = strdup(name); /* dirname changes it */
    ok(inotify_add_watch(watch, dirname(copy), IN_CREATE | IN_MOVED_TO), "inotify_add_watch");
    free(copy);
    /* It may have come before the watch: so each time look first, and sleep then. */
    int file;
    while ((file = open(name, O_RDONLY)) == -1 && errno == ENOENT) {
        char events[4096];
        ok(read(watch, events, sizeof events), "read"); /* sleeps until a name appears */
    }
    close(watch);
    //]
    //| int file = open(name, O_RDONLY);
    return ok(file, "open");
}

static void receiver(const char *name)
{
    int file = open_later(name);
    ok(unlink(name), "unlink"); /* the file has no name now, and is there until it is closed */
    char buffer[4096];
    long n;
    while ((n = ok(read(file, buffer, sizeof buffer), "read")) > 0) /* 0: the end of the file */
        ok(write(1, buffer, n), "write");
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "receiver") == 0)
        receiver(argv[2]);
    else
        return fprintf(stderr, "usage: receiver PLACE\n"), 2;
}
