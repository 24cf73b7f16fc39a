/* Signals, bare: sigprocmask(2), sigwaitinfo(2), sigqueue(3).
   Wire: SIGRTMIN with an int: a message's length, then its bytes, 4 a signal; -1 is the end.
   PLACE holds the receiver's pid. Simpler than the role's: ipclab signal sender needs --pid.
   Not here: two senders, a full queue, an old or empty pid file, EINTR. See chapter signal.
   cc -Wall signal.c -o signal; ./signal receiver /tmp/s & sleep 1; ./signal sender /tmp/s hello */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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
    sigset_t set;
    ok(sigemptyset(&set), "sigemptyset");
    ok(sigaddset(&set, SIGRTMIN), "sigaddset");
    ok(sigprocmask(SIG_BLOCK, &set, NULL), "sigprocmask"); /* from now on the signal waits */
    int place = ok(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600), "open");
    ok(dprintf(place, "%d", getpid()), "write");
    siginfo_t info;
    for (;;) {
        ok(sigwaitinfo(&set, &info), "sigwaitinfo"); /* sleeps while no signal waits */
        int length = info.si_int;
        if (length == -1)
            break;
        if (length == -2) /* ipclab signal sender asks how many may come */
            ok(sigqueue(info.si_pid, SIGRTMIN + 1, (union sigval){ 1 << 30 }), "sigqueue");
        for (int at = 0; at < length; at += 4) {
            ok(sigwaitinfo(&set, &info), "sigwaitinfo"); /* sleeps while no signal waits */
            unsigned word = htole32(info.si_int);
            ok(write(1, &word, length - at < 4 ? length - at : 4), "write");
        }
        if (length >= 0)
            ok(write(1, "\n", 1), "write");
    }
    ok(unlink(name), "unlink");
}

static void sender(const char *name, char *messages[])
{
    int place = ok(open(name, O_RDONLY), "open"); /* ENOENT: no receiver yet */
    char text[64] = "";
    ok(read(place, text, sizeof text - 1), "read");
    pid_t pid = atoi(text);
    for (; *messages; messages++) {
        int length = strlen(*messages);
        /* EAGAIN: the queue is full */
        ok(sigqueue(pid, SIGRTMIN, (union sigval){ length }), "sigqueue");
        for (int at = 0; at < length; at += 4) {
            unsigned word = 0; /* the last word ends with zeros */
            memcpy(&word, *messages + at, length - at < 4 ? length - at : 4);
            ok(sigqueue(pid, SIGRTMIN, (union sigval){ le32toh(word) }), "sigqueue");
        }
    }
    ok(sigqueue(pid, SIGRTMIN, (union sigval){ -1 }), "sigqueue");
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "receiver") == 0)
        receiver(argv[2]);
    else if (argc >= 3 && strcmp(argv[1], "sender") == 0)
        sender(argv[2], argv + 3);
    else
        return fprintf(stderr, "usage: signal receiver PLACE | sender PLACE MESSAGE...\n"), 2;
}
