/* A receiver that does not wait for ever: mq_open(3), mq_timedreceive(3), mq_unlink(3).

   cc -Wall receiver.c -o receiver; ./receiver receiver /q 5 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
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

static void receiver(const char *name, long seconds)
{
    struct mq_attr attr = {.mq_maxmsg = 10, .mq_msgsize = 1024}; /* of a new queue */
    mqd_t queue = ok(mq_open(name, O_RDONLY | O_CREAT, 0600, &attr), "mq_open");
    ok(mq_getattr(queue, &attr), "mq_getattr");
    char buffer[attr.mq_msgsize + 1];
    for (;;) {
        unsigned priority;
        //[
        /* A time of the system's clock, and no number of seconds; each message has its own. */
        struct timespec until;
        ok(clock_gettime(CLOCK_REALTIME, &until), "clock_gettime");
        until.tv_sec += seconds;
        long n = mq_timedreceive(queue, buffer, sizeof buffer, &priority, &until); /* sleeps */
        if (n == -1 && errno == ETIMEDOUT) {
            fprintf(stderr, "no message for %ld s\n", seconds);
            ok(mq_unlink(name), "mq_unlink");
            exit(1);
        }
        //]
        //| (void)seconds;
        //| long n = mq_receive(queue, buffer, sizeof buffer, &priority); /* sleeps while it is empty */
        if (ok(n, "mq_receive") == 0 && priority == 0)
            break;
        buffer[n] = '\n';
        ok(write(1, buffer, n + 1), "write");
    }
    ok(mq_unlink(name), "mq_unlink");
}

int main(int argc, char *argv[])
{
    if (argc == 4 && strcmp(argv[1], "receiver") == 0)
        receiver(argv[2], atol(argv[3]));
    else
        return fprintf(stderr, "usage: receiver PLACE SECONDS\n"), 2;
}
