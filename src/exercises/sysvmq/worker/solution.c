/* A worker that takes the messages of its type: msgget(2), msgrcv(2).

   cc -Wall worker.c -o worker; ./worker worker 0x4d2 3 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
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

static void worker(int key, long type)
{
    //[
    int queue = ok(msgget(key, IPC_CREAT | 0600), "msgget");
    struct {
        long mtype; /* above 0 */
        char mtext[8192 + 1];
    } message;
    long n;
    /* The size is without the type. It sleeps while no message has the type. */
    while ((n = ok(msgrcv(queue, &message, 8192, type, 0), "msgrcv")) > 0) {
        message.mtext[n] = '\n';
        ok(write(1, message.mtext, n + 1), "write");
    }
    //]
    //| /* Print the messages of type `type` in the queue `key`. */
    //| (void)key, (void)type;
    //| errno = ENOSYS; /* not written yet */
    //| ok(-1, "worker");
}

int main(int argc, char *argv[])
{
    if (argc == 4 && strcmp(argv[1], "worker") == 0)
        worker(strtol(argv[2], NULL, 0), atol(argv[3])); /* decimal, or hexadecimal behind 0x */
    else
        return fprintf(stderr, "usage: worker PLACE TYPE\n"), 2;
}
