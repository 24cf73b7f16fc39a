/* A command that lives on: fork(2), setsid(2), chdir(2), dup2(2), execvp(3).
   cc -Wall solution.c -o solution */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long ok(long result, const char *call)
{
    if (result == -1) {
        fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno));
        exit(1);
    }
    return result;
}

/* Makes of this process the command; returns only if that fails. */
static void become_the_command(char *words[])
{
    //[
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    /* A forked process leads no group, so that setsid may make a session. */
    if (null == -1 || setsid() == -1 || chdir("/") == -1)
        return;
    for (int fd = 0; fd < 3; fd++)
        if (dup2(null, fd) == -1)
            return;
    //]
    execvp(words[0], words);
}

static void detach(const char *place, char *words[])
{
    int ends[2], failed = 0;
    ok(pipe2(ends, O_CLOEXEC), "pipe2"); /* the end of file says that execve has succeeded */
    pid_t child = ok(fork(), "fork");
    if (child == 0) {
        become_the_command(words);
        failed = errno;
        _exit(write(ends[1], &failed, sizeof failed) == sizeof failed ? 1 : 2);
    }
    ok(close(ends[1]), "close"); /* or read never returns 0 */
    //[
    if (ok(read(ends[0], &failed, sizeof failed), "read")) { /* sleeps until execve is over */
        fprintf(stderr, "%s: %s\n", words[0], strerrorname_np(failed));
        exit(1);
    }
    //]
    FILE *file = fopen(place, "w");
    ok(file ? fprintf(file, "%d\n", child) : -1, "write");
    ok(fclose(file), "close");
}

int main(int argc, char *argv[])
{
    if (argc < 4 || strcmp(argv[1], "detach") != 0)
        return fprintf(stderr, "usage: detach PLACE COMMAND ARGUMENT...\n"), 2;
    detach(argv[2], argv + 3);
}
