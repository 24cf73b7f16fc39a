/* A System V message queue, bare: msgget(2), msgsnd(2), msgrcv(2), msgctl(2).
   Wire: a queue message each. The end is an empty one of type 0x7fffffff.
   Not here: a sender that dies, a second sender, limits, a signal in a call. See chapter sysvmq.
   cc -Wall sysvmq.c -o sysvmq; ./sysvmq receiver 0x4d2 & ./sysvmq sender 0x4d2 hello world */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
#include <unistd.h>

#define END 0x7fffffff
#define ROOM 8192

struct message {
    long mtype; /* above 0 */
    char mtext[ROOM + 1];
};

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
static int get_queue(int key)
{
    return ok(msgget(key, IPC_CREAT | 0600), "msgget");
}

static void receiver(int key)
{
    int queue = get_queue(key);
    struct message message;
    for (;;) {
        /* The size is without the type. */
        long n = ok(msgrcv(queue, &message, ROOM, 0, 0), "msgrcv"); /* sleeps while it is empty */
        if (message.mtype == END)
            break;
        message.mtext[n] = '\n';
        ok(write(1, message.mtext, n + 1), "write");
    }
    /* The sender has sent all. EINVAL: the role (ipclab sysvmq sender) has removed the queue. */
    if (msgctl(queue, IPC_RMID, NULL) == -1 && errno != EINVAL)
        ok(-1, "msgctl");
}

static void sender(int key, char *messages[])
{
    int queue = get_queue(key);
    struct message message = {.mtype = 1};
    for (; *messages; messages++) {
        size_t size = strlen(*messages);
        ok(size <= ROOM ? 0 : (errno = EMSGSIZE, -1), "message");
        memcpy(message.mtext, *messages, size);
        ok(msgsnd(queue, &message, size, 0), "msgsnd"); /* sleeps while it is full */
    }
    message.mtype = END;
    ok(msgsnd(queue, &message, 0, 0), "msgsnd"); /* sleeps while it is full */
}

int main(int argc, char *argv[])
{
    char *end = "";
    int key = argc > 2 ? strtol(argv[2], &end, 0) : 0; /* decimal, or hexadecimal behind 0x */
    int valid = key != 0 && *end == '\0'; /* 0, IPC_PRIVATE: the roles would never meet */
    if (valid && argc == 3 && strcmp(argv[1], "receiver") == 0)
        receiver(key);
    else if (valid && strcmp(argv[1], "sender") == 0)
        sender(key, argv + 3);
    else
        return fprintf(stderr, "usage: sysvmq receiver PLACE | sender PLACE MESSAGE...\n"), 2;
}
