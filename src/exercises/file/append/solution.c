/* Lines at the end of a file that others write as well: open(2), write(2).

   cc -Wall logger.c -o logger; echo hello | ./logger logger /tmp/log /dev/stdin */
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

static void logger(const char *name, const char *source)
{
    FILE *input = fopen(source, "r");
    ok(input ? 0 : -1, "open");
    //[
    int add = O_APPEND; /* each write goes to the end */
    int log = ok(open(name, O_WRONLY | O_CREAT | add, 0600), "open");
    //]
    //| int log = ok(open(name, O_WRONLY | O_CREAT, 0600), "open");
    //| ok(lseek(log, 0, SEEK_END), "lseek");
    char *line = NULL;
    size_t room = 0;
    long n;
    while ((n = getline(&line, &room, input)) > 0) { /* sleeps until a line has come */
        if (line[n - 1] == '\n')
            n--;
        //[
        line[n] = '\n'; /* getline has a byte more: its zero */
        ok(write(log, line, n + 1), "write"); /* one call: another line cannot come between */
        //]
        //| ok(write(log, line, n), "write");
        //| ok(write(log, "\n", 1), "write");
    }
    free(line);
    fclose(input);
}

int main(int argc, char *argv[])
{
    if (argc == 4 && strcmp(argv[1], "logger") == 0)
        logger(argv[2], argv[3]);
    else
        return fprintf(stderr, "usage: logger PLACE INPUT\n"), 2;
}
