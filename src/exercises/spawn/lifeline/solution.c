/* A guard whose end is the end of its command's group: pipe2(2), fork(2), setpgid(2), kill(2).
   cc -Wall solution.c -o solution */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static long ok(long result, const char *call)
{
    if (result == -1) {
        fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno));
        exit(1);
    }
    return result;
}

/* Forks the command, which leads a process group. */
static pid_t start(char *words[])
{
    pid_t child = ok(fork(), "fork");
    if (child == 0) {
        ok(setpgid(0, 0), "setpgid");
        ok(execvp(words[0], words), "execvp");
    }
    setpgid(child, child); /* also here: whichever of the two is first */
    return child;
}

static int guard(char *words[])
{
    int status;
    //[
    int ends[2];
    /* The write end is the guard's life: close-on-exec, so that the command has none. */
    ok(pipe2(ends, O_CLOEXEC), "pipe2");
    //]
    pid_t command = start(words);
    //[
    if (ok(fork(), "fork") == 0) {
        char end;
        setsid(); /* no key and no kill of the guard's group ends the watcher */
        ok(close(ends[1]), "close"); /* or it would wait for itself */
        ok(read(ends[0], &end, 1), "read"); /* sleeps for as long as the guard lives */
        kill(-command, SIGKILL);
        _exit(0);
    }
    //]
    ok(waitpid(command, &status, 0), "waitpid"); /* sleeps until the command has ended */
    if (WIFSIGNALED(status))
        return fprintf(stderr, "ended by SIG%s\n", sigabbrev_np(WTERMSIG(status))), 1;
    return WEXITSTATUS(status);
}

int main(int argc, char *argv[])
{
    if (argc < 3 || strcmp(argv[1], "guard") != 0)
        return fprintf(stderr, "usage: guard COMMAND ARGUMENT...\n"), 2;
    return guard(argv + 2);
}
