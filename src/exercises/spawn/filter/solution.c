/* A child that may do anything: pipe2(2), fork(2), execvp(3), poll(2), waitpid(2).
   cc -Wall solution.c -o solution */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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

static int parent(const char *message, const char *program, char *words[])
{
    int in[2], out[2], status;
    ok(pipe2(in, O_CLOEXEC), "pipe2");
    ok(pipe2(out, O_CLOEXEC), "pipe2");
    pid_t child = ok(fork(), "fork");
    if (child == 0) {
        ok(dup2(in[0], 0), "dup2");
        ok(dup2(out[1], 1), "dup2");
        ok(execvp(program, words), "execvp");
    }
    signal(SIGPIPE, SIG_IGN); /* after the fork: the child has it as it was */
    ok(close(in[0]), "close");
    ok(close(out[1]), "close");
    ok(fcntl(in[1], F_SETFL, O_NONBLOCK), "fcntl"); /* a write takes what there is room for */
    char *line, data[65536];
    long left = ok(asprintf(&line, "%s\n", message), "asprintf"), n;
    for (const char *rest = line;;) {
        struct pollfd fds[] = {{out[0], POLLIN, 0}, {in[1], POLLOUT, 0}};
        ok(poll(fds, 2, -1), "poll"); /* sleeps until one of the two is ready */
        if (fds[1].revents) {
            n = write(in[1], rest, left);
            if (n == -1 && errno == EPIPE)
                n = left; /* the child reads no more */
            rest += ok(n, "write");
            left -= n;
            if (left == 0) {
                ok(close(in[1]), "close"); /* the child's read returns 0 */
                in[1] = -1; /* which poll passes over */
            }
        }
        if (fds[0].revents) {
            if ((n = ok(read(out[0], data, sizeof data), "read")) == 0)
                break;
            for (long at = 0; at < n;)
                at += ok(write(1, data + at, n - at), "write");
        }
    }
    free(line);
    ok(waitpid(child, &status, 0), "waitpid");
    if (WIFSIGNALED(status))
        return fprintf(stderr, "ended by SIG%s\n", sigabbrev_np(WTERMSIG(status))), 1;
    return WEXITSTATUS(status);
}

static int child(void)
{
    char line[4096];
    while (fgets(line, sizeof line, stdin))
        ok(write(1, line, strlen(line)), "write");
    return 0;
}

int main(int argc, char *argv[])
{
    if (argc == 2 && strcmp(argv[1], "child") == 0)
        return child();
    if (argc == 3 && strcmp(argv[1], "parent") == 0)
        return parent(argv[2], "/proc/self/exe", (char *[]){argv[0], "child", NULL});
    if (argc > 3 && strcmp(argv[1], "parent") == 0)
        return parent(argv[2], argv[3], argv + 3);
    return fprintf(stderr, "usage: spawn parent MESSAGE [COMMAND...] | child\n"), 2;
}
