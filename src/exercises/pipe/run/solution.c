/* What a command prints, and how it ends: pipe(2), fork(2), execve(2), read(2), waitpid(2).

   cc -Wall run.c -o run; ./run run sh -c 'echo hello; exit 3' */
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

static void run(char *command[])
{
    int ends[2]; /* to read from, to write to */
    ok(pipe(ends), "pipe");
    pid_t child = ok(fork(), "fork");
    if (child == 0) {
        ok(dup2(ends[1], 1), "dup2");
        close(ends[0]); /* the command gets 0, 1 and 2 alone */
        close(ends[1]);
        execvp(command[0], command);
        fprintf(stderr, "%s: %s\n", command[0], strerrorname_np(errno));
        _exit(127);
    }
    int status;
    char buffer[65536], *printed = NULL;
    size_t length = 0;
    long n;
    //[
    close(ends[1]); /* or read never returns 0: this process is a writer as well */
    //]
    //| ok(waitpid(child, &status, 0), "waitpid"); /* sleeps until the command has ended */
    while ((n = ok(read(ends[0], buffer, sizeof buffer), "read")) > 0) { /* sleeps until it prints */
        printed = realloc(printed, length + n);
        memcpy(printed + length, buffer, n);
        length += n;
    }
    //[
    /* Before the end of all output this could sleep for ever: the pipe is full at 64 KiB. */
    ok(waitpid(child, &status, 0), "waitpid"); /* sleeps until the command has ended */
    //]
    if (WIFSIGNALED(status))
        printf("signal %d\n", WTERMSIG(status));
    else
        printf("status %d\n", WEXITSTATUS(status));
    fwrite(printed, 1, length, stdout);
    free(printed);
}

int main(int argc, char *argv[])
{
    if (argc >= 3 && strcmp(argv[1], "run") == 0)
        run(argv + 2);
    else
        return fprintf(stderr, "usage: run COMMAND ARGUMENT...\n"), 2;
}
