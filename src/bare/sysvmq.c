/* A System V message queue, bare: msgget(2), msgsnd(2), msgrcv(2), msgctl(2).
   Wire: a queue message each. The end is an empty one of type 0x7fffffff.
   Not here: a sender that dies, a second sender, limits, a signal in a call. See chapter sysvmq.
   cc -Wall sysvmq.c -o sysvmq; ./sysvmq receiver 1234; ./sysvmq sender 1234 hello world */
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
    msgctl(queue, IPC_RMID, NULL); /* the sender has sent all. EINVAL: it has removed the queue */
}

static void sender(int key, char *messages[])
{
    int queue = get_queue(key);
    struct message message = {.mtype = 1};
    for (; *messages; messages++) {
        size_t size = strlen(*messages);
        if (size > ROOM) {
            errno = EMSGSIZE;
            ok(-1, "message");
        }
        memcpy(message.mtext, *messages, size);
        ok(msgsnd(queue, &message, size, 0), "msgsnd"); /* sleeps while it is full */
    }
    message.mtype = END;
    ok(msgsnd(queue, &message, 0, 0), "msgsnd"); /* sleeps while it is full */
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "receiver") == 0)
        receiver(atoi(argv[2]));
    else if (argc >= 3 && strcmp(argv[1], "sender") == 0)
        sender(atoi(argv[2]), argv + 3);
    else
        return fprintf(stderr, "usage: sysvmq receiver PLACE | sender PLACE MESSAGE...\n"), 2;
}
