/* A POSIX message queue's receiver: mq_open(3), mq_getattr(3), mq_receive(3), mq_unlink(3).

   cc -Wall receiver.c -o receiver; ./receiver receiver /q & ./sender /q hello */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
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

static void receiver(const char *name)
{
    //[
    struct mq_attr attr = {.mq_maxmsg = 10, .mq_msgsize = 1024}; /* of a new queue */
    mqd_t queue = ok(mq_open(name, O_RDONLY | O_CREAT, 0600, &attr), "mq_open");
    ok(mq_getattr(queue, &attr), "mq_getattr"); /* of the queue that is there */
    char buffer[attr.mq_msgsize + 1];           /* EMSGSIZE, if it is shorter than mq_msgsize */
    for (;;) {
        unsigned priority;
        long n = mq_receive(queue, buffer, sizeof buffer, &priority); /* sleeps while it is empty */
        if (ok(n, "mq_receive") == 0 && priority == 0)
            break;
        buffer[n] = '\n';
        ok(write(1, buffer, n + 1), "write");
    }
    ok(mq_unlink(name), "mq_unlink");
    //]
    //| /* Open or make the queue `name`, print its messages, and remove it. */
    //| (void)name;
    //| errno = ENOSYS; /* not written yet */
    //| ok(-1, "receiver");
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "receiver") == 0)
        receiver(argv[2]);
    else
        return fprintf(stderr, "usage: receiver PLACE\n"), 2;
}
