/* A receiver that answers signals: msgget(2), msgrcv(2), msgctl(2), sigaction(2).

   cc -Wall receiver.c -o receiver; ./receiver receiver 0x4d2 & kill -USR1 $! */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
#include <unistd.h>

#define END 0x7fffffff
#define ROOM 8192

/* What has been asked for by a signal. */
static volatile sig_atomic_t report, leave;

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

static void note(int signal)
{
    if (signal == SIGUSR1)
        report = 1;
    else
        leave = 1;
}

static void receiver(int key)
{
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART}; /* msgrcv minds not */
    ok(sigaction(SIGUSR1, &action, NULL), "sigaction");
    ok(sigaction(SIGTERM, &action, NULL), "sigaction");
    int queue = ok(msgget(key, IPC_CREAT | 0600), "msgget");
    struct message message;
    int count = 0;
    while (!leave) {
        if (report) {
            report = 0;
            ok(dprintf(1, "received %d\n", count), "write");
        }
        long n = msgrcv(queue, &message, ROOM, 0, 0); /* sleeps while it is empty */
        //[
        if (n == -1 && errno == EINTR) /* a handler has run */
            continue;
        //]
        ok(n, "msgrcv");
        if (message.mtype == END)
            break;
        message.mtext[n] = '\n';
        ok(write(1, message.mtext, n + 1), "write");
        count++;
    }
    ok(msgctl(queue, IPC_RMID, NULL), "msgctl");
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "receiver") == 0)
        receiver(strtol(argv[2], NULL, 0)); /* decimal, or hexadecimal behind 0x */
    else
        return fprintf(stderr, "usage: receiver PLACE\n"), 2;
}
