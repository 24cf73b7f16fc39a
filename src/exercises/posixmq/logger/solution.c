/* A logger that never waits: mq_open(3), mq_send(3).

   cc -Wall logger.c -o logger; ./logger logger /q hello world */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Leaves with the name of the error, if a call has failed. */
static long ok(long result, const char *call)
{
    if (result == -1) {
        fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno));
        exit(1);
    }
    return result;
}

static void logger(const char *name, char *messages[])
{
    //[
    mqd_t queue = ok(mq_open(name, O_WRONLY | O_NONBLOCK), "mq_open"); /* ENOENT: nobody reads */
    int dropped = 0;
    for (; *messages; messages++)
        if (mq_send(queue, *messages, strlen(*messages), 1) == -1) {
            if (errno != EAGAIN && errno != EMSGSIZE) /* it is full, or the message too long */
                ok(-1, "mq_send");
            dropped++;
        }
    if (dropped > 0)
        exit((fprintf(stderr, "%d messages dropped\n", dropped), 1));
    //]
    //| struct mq_attr attr = {.mq_maxmsg = 10, .mq_msgsize = 1024}; /* of a new queue */
    //| mqd_t queue = ok(mq_open(name, O_WRONLY | O_CREAT, 0600, &attr), "mq_open");
    //| for (; *messages; messages++)
    //|     ok(mq_send(queue, *messages, strlen(*messages), 1), "mq_send"); /* sleeps while full */
}

int main(int argc, char *argv[])
{
    if (argc >= 3 && strcmp(argv[1], "logger") == 0)
        logger(argv[2], argv + 3);
    else
        return fprintf(stderr, "usage: logger PLACE MESSAGE...\n"), 2;
}
