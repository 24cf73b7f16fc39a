/* Lines of two inputs, as they come: poll(2), read(2), write(2).
   cc -Wall merge.c -o merge; mkfifo /tmp/f; ./merge merge /tmp/f & echo one > /tmp/f */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What has come of an input and is not printed: less than a line. */
static struct { char text[1 << 16]; size_t length; } begun[2];

/* Leaves with the name of the error, if a call has failed. */
static long ok(long result, const char *call)
{
    if (result == -1) {
        fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno));
        exit(1);
    }
    return result;
}

/* Prints the lines that are whole. */
static void print(int i)
{
    char *text = begun[i].text, *end = memrchr(text, '\n', begun[i].length);
    size_t whole = end ? end + 1 - text : 0;
    if (whole)
        ok(write(1, text, whole), "write");
    begun[i].length -= whole;
    memmove(text, text + whole, begun[i].length);
}

/* Reads what has come. Whether there may be more. */
static int take(struct pollfd *input, int i)
{
    size_t room = sizeof begun[i].text - 1 - begun[i].length;
    //[
    /* Once: poll has said that this one does not sleep. */
    long n = ok(read(input->fd, begun[i].text + begun[i].length, room), "read");
    begun[i].length += n;
    //]
    //| long n, all = 0;
    //| while ((n = read(input->fd, begun[i].text + begun[i].length, room - all)) > 0) {
    //|     begun[i].length += n;
    //|     all += n;
    //| }
    //| if (n == -1 && errno != EAGAIN)
    //|     ok(n, "read");
    //| n = all;
    if (n == 0 && begun[i].length > 0)
        begun[i].text[begun[i].length++] = '\n';
    print(i);
    return n > 0;
}

static void merge(const char *name)
{
    struct pollfd inputs[2] = {{.fd = 0, .events = POLLIN}, {.events = POLLIN}};
    inputs[1].fd = ok(open(name, O_RDONLY), "open"); /* sleeps until a writer has it open */
    //| for (int i = 0; i < 2; i++)
    //|     ok(fcntl(inputs[i].fd, F_SETFL, O_NONBLOCK), "fcntl");
    while (inputs[0].fd >= 0 || inputs[1].fd >= 0) {
        ok(poll(inputs, 2, -1), "poll"); /* sleeps until one of them has data, or its end */
        for (int i = 0; i < 2; i++)
            if (inputs[i].fd >= 0 && inputs[i].revents && !take(&inputs[i], i))
                inputs[i].fd = -1; /* poll passes it over */
    }
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "merge") == 0)
        merge(argv[2]);
    else
        return fprintf(stderr, "usage: merge PLACE\n"), 2;
}
