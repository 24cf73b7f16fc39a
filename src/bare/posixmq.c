/* A POSIX message queue, bare: mq_open(3), mq_send(3), mq_receive(3), mq_unlink(3).
   Wire: a queue message each. The end is an empty one of priority 0, the lowest.
   Not here: a sender that dies, a second sender, limits, a signal in a call. See chapter posixmq.
   cc -Wall posixmq.c -o posixmq; ./posixmq receiver /q & ./posixmq sender /q hello world */
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

/* Either side may be first: the queue keeps the messages. */
static mqd_t open_queue(const char *name, int access)
{
    struct mq_attr attr = {.mq_maxmsg = 10, .mq_msgsize = 8192}; /* of a new queue */
    return ok(mq_open(name, access | O_CREAT, 0600, &attr), "mq_open");
}

static void receiver(const char *name)
{
    mqd_t queue = open_queue(name, O_RDONLY);
    struct mq_attr attr;
    ok(mq_getattr(queue, &attr), "mq_getattr");
    char buffer[attr.mq_msgsize + 1]; /* EMSGSIZE, if it is shorter than mq_msgsize */
    for (;;) {
        unsigned priority;
        long n = mq_receive(queue, buffer, sizeof buffer, &priority); /* sleeps while it is empty */
        if (ok(n, "mq_receive") == 0 && priority == 0)
            break;
        buffer[n] = '\n';
        ok(write(1, buffer, n + 1), "write");
    }
    /* The sender has sent all. ENOENT: the role (ipclab posixmq sender) has removed it. */
    if (mq_unlink(name) == -1 && errno != ENOENT)
        ok(-1, "mq_unlink");
}

static void sender(const char *name, char *messages[])
{
    mqd_t queue = open_queue(name, O_WRONLY);
    for (; *messages; messages++)
        ok(mq_send(queue, *messages, strlen(*messages), 1), "mq_send"); /* sleeps while full */
    /* The end: the lowest priority is last. It sleeps while the queue is full. */
    ok(mq_send(queue, "", 0, 0), "mq_send");
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "receiver") == 0)
        receiver(argv[2]);
    else if (argc >= 3 && strcmp(argv[1], "sender") == 0)
        sender(argv[2], argv + 3);
    else
        return fprintf(stderr, "usage: posixmq receiver PLACE | sender PLACE MESSAGE...\n"), 2;
}
