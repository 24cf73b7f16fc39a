/* A receiver of messages of any length: msgget(2), msgrcv(2), msgctl(2).

   cc -Wall receiver.c -o receiver; ./receiver receiver 0x4d2 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
#include <unistd.h>

#define END 0x7fffffff

/* Leaves with the name of the error, if a call has failed. */
static long ok(long result, const char *call)
{
    if (result == -1) {
        fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno));
        exit(1);
    }
    return result;
}

struct message {
    long mtype; /* above 0 */
    char mtext[];
};

static struct message *with_room(struct message *message, long room)
{
    message = realloc(message, sizeof *message + room + 1); /* and a newline */
    if (message == NULL)
        ok(-1, "realloc");
    return message;
}

static void receiver(int key)
{
    int queue = ok(msgget(key, IPC_CREAT | 0600), "msgget");
    long room = 64;
    struct message *message = with_room(NULL, room);
    for (;;) {
        //[
        long n = msgrcv(queue, message, room, 0, 0); /* sleeps while it is empty */
        if (n == -1 && errno == E2BIG) { /* the message is still in the queue */
            room *= 2;
            message = with_room(message, room);
            continue;
        }
        ok(n, "msgrcv");
        //]
        //| long n = ok(msgrcv(queue, message, room, 0, MSG_NOERROR), "msgrcv"); /* sleeps */
        if (message->mtype == END)
            break;
        message->mtext[n] = '\n';
        ok(write(1, message->mtext, n + 1), "write");
    }
    ok(msgctl(queue, IPC_RMID, NULL), "msgctl");
    free(message);
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "receiver") == 0)
        receiver(strtol(argv[2], NULL, 0)); /* decimal, or hexadecimal behind 0x */
    else
        return fprintf(stderr, "usage: receiver PLACE\n"), 2;
}
