/* A child process, bare: pipe2(2), fork(2), dup2(2), execvp(3), write(2), read(2), waitpid(2).
   Wire: the child's standard input and output, a line each way. The end is the parent's close(2).
   Not here: more than a pipe holds, standard error, a family to end. See chapter spawn.
   cc -Wall spawn.c -o spawn; ./spawn parent descriptors; ./spawn parent hello tr a-z A-Z */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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

static int parent(const char *message, const char *program, char *words[])
{
    int in[2], out[2], status; /* each: to read from, to write to */
    ok(pipe2(in, O_CLOEXEC), "pipe2"); /* execve will close all four */
    ok(pipe2(out, O_CLOEXEC), "pipe2");
    pid_t child = ok(fork(), "fork");
    if (child == 0) {
        ok(dup2(in[0], 0), "dup2"); /* the copies are not close-on-exec */
        ok(dup2(out[1], 1), "dup2");
        ok(execvp(program, words), "execvp"); /* it returns only if it has failed */
    }
    ok(close(in[0]), "close");
    ok(close(out[1]), "close"); /* or read would never return 0: the parent is a writer as well */
    ok(dprintf(in[1], "%s\n", message), "write"); /* sleeps while the pipe is full */
    ok(close(in[1]), "close"); /* the child's read returns 0 */
    char data[4096];
    long n;
    while ((n = ok(read(out[0], data, sizeof data), "read")) > 0) /* sleeps until it writes */
        ok(write(1, data, n), "write");
    ok(waitpid(child, &status, 0), "waitpid"); /* sleeps until the child has ended */
    if (WIFSIGNALED(status))
        return fprintf(stderr, "ended by SIG%s\n", sigabbrev_np(WTERMSIG(status))), 1;
    return WEXITSTATUS(status);
}

/* Sends each line back, but for one that is a question. */
static int child(void)
{
    char line[4096];
    for (int length = 0; fgets(line, sizeof line, stdin); length = 0) { /* sleeps until it comes */
        if (strcmp(line, "descriptors\n") == 0) {
            struct pollfd fds[16];
            for (int fd = 0; fd < 16; fd++)
                fds[fd] = (struct pollfd){.fd = fd};
            ok(poll(fds, 16, 0), "poll"); /* looks which are open */
            for (int fd = 0; fd < 16; fd++)
                if (!(fds[fd].revents & POLLNVAL))
                    length += sprintf(line + length, "%s%d", length ? " " : "", fd);
            strcpy(line + length, "\n");
        }
        ok(write(1, line, strlen(line)), "write");
    }
    return 0; /* the parent has closed its end */
}

int main(int argc, char *argv[])
{
    if (argc == 2 && strcmp(argv[1], "child") == 0)
        return child();
    if (argc == 3 && strcmp(argv[1], "parent") == 0) /* this program once more */
        return parent(argv[2], "/proc/self/exe", (char *[]){argv[0], "child", NULL});
    if (argc > 3 && strcmp(argv[1], "parent") == 0)
        return parent(argv[2], argv[3], argv + 3);
    return fprintf(stderr, "usage: spawn parent MESSAGE [COMMAND...] | child\n"), 2;
}
