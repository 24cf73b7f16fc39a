/* Two streams of one command: pipe(2), fork(2), execve(2), poll(2), read(2), waitpid(2).

   cc -Wall run.c -o run; ./run run sh -c 'echo hello; echo oh >&2' */
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

struct stream {
    const char *name;
    int ends[2]; /* to read from, to write to */
    char *kept;
    size_t length;
};

/* Reads once: 0 at the end. */
static long take(struct stream *stream)
{
    char buffer[65536];
    long n = ok(read(stream->ends[0], buffer, sizeof buffer), "read");
    stream->kept = realloc(stream->kept, stream->length + n + 1);
    memcpy(stream->kept + stream->length, buffer, n);
    stream->length += n;
    return n;
}

static void run(char *command[])
{
    struct stream streams[2] = { { .name = "out" }, { .name = "err" } };
    for (int i = 0; i < 2; i++)
        ok(pipe2(streams[i].ends, O_CLOEXEC), "pipe");
    pid_t child = ok(fork(), "fork");
    if (child == 0) {
        for (int i = 0; i < 2; i++)
            ok(dup2(streams[i].ends[1], 1 + i), "dup2");
        execvp(command[0], command);
        _exit(127);
    }
    for (int i = 0; i < 2; i++)
        close(streams[i].ends[1]); /* or read never returns 0: this process is a writer as well */
    //[
    struct pollfd wanted[2] = { { streams[0].ends[0], POLLIN, 0 }, { streams[1].ends[0], POLLIN, 0 } };
    for (int open = 2; open > 0;) {
        ok(poll(wanted, 2, -1), "poll"); /* sleeps until one has data, or has ended */
        for (int i = 0; i < 2; i++)
            if (wanted[i].revents && take(&streams[i]) == 0) {
                wanted[i].fd = -1; /* or poll returns at once for ever */
                open--;
            }
    }
    //]
    //| for (int i = 0; i < 2; i++)
    //|     while (take(&streams[i]) > 0) /* sleeps until it has data, or has ended */
    //|         ;
    int status;
    ok(waitpid(child, &status, 0), "waitpid"); /* sleeps until the command has ended */
    printf("status %d\n", WEXITSTATUS(status));
    for (int i = 0; i < 2; i++) {
        printf("%s %zu\n", streams[i].name, streams[i].length);
        fwrite(streams[i].kept, 1, streams[i].length, stdout);
        free(streams[i].kept);
    }
}

int main(int argc, char *argv[])
{
    if (argc >= 3 && strcmp(argv[1], "run") == 0)
        run(argv + 2);
    else
        return fprintf(stderr, "usage: run COMMAND ARGUMENT...\n"), 2;
}
