/* A pipeline: pipe(2), fork(2), dup2(2), close(2), execve(2), waitpid(2).

   cc -Wall pipeline.c -o pipeline; ./pipeline run 'seq 9999999' 'head -n 3' */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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

static int run(char *commands[])
{
    //[
    int source = 0, last = -1, status, of_last = 0;
    for (; *commands; commands++) {
        int ends[2] = {0, 1};
        if (commands[1])
            ok(pipe2(ends, O_CLOEXEC), "pipe2"); /* no command inherits more than dup2 gives it */
        last = ok(fork(), "fork");
        if (last == 0) {
            signal(SIGPIPE, SIG_DFL);
            ok(dup2(source, 0), "dup2");
            ok(dup2(ends[1], 1), "dup2");
            execl("/bin/sh", "sh", "-c", *commands, NULL);
            ok(-1, "execl");
        }
        if (source != 0)
            ok(close(source), "close"); /* ours: or the command before would get no SIGPIPE */
        if (ends[1] != 1)
            ok(close(ends[1]), "close"); /* ours: or the next command would see no end */
        source = ends[0];
    }
    for (int pid; (pid = wait(&status)) != -1;) /* sleeps; -1: there is no child any more */
        if (pid == last)
            of_last = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return of_last;
    //]
    //| /* Start all of `commands`, each with its output piped to the next, and wait for them. */
    //| (void)commands;
    //| errno = ENOSYS; /* not written yet */
    //| return ok(-1, "run");
}

int main(int argc, char *argv[])
{
    if (argc > 2 && strcmp(argv[1], "run") == 0)
        return run(argv + 2);
    return fprintf(stderr, "usage: run COMMAND...\n"), 2;
}
