/* Tells how a command has ended: fork(2), execvp(3), waitpid(2).

   cc -Wall ended.c -o ended; ./ended runner sh -c 'exit 3' */
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

static void runner(char *words[])
{
    //[
    pid_t child = ok(fork(), "fork");
    if (child == 0) {
        execvp(words[0], words);
        fprintf(stderr, "%s: %s\n", words[0], strerrorname_np(errno));
        _exit(127); /* only if execvp has failed */
    }
    int status;
    ok(waitpid(child, &status, 0), "waitpid"); /* sleeps until the command has ended */
    if (WIFSIGNALED(status))
        printf("signal %d\n", WTERMSIG(status));
    else
        printf("status %d\n", WEXITSTATUS(status));
    //]
    //| (void)words;
    //| errno = ENOSYS; /* not written yet */
    //| ok(-1, "runner");
}

int main(int argc, char *argv[])
{
    if (argc > 2 && strcmp(argv[1], "runner") == 0)
        runner(argv + 2);
    else
        return fprintf(stderr, "usage: runner COMMAND [ARGUMENT...]\n"), 2;
}
