/* A count of signals: sigprocmask(2), sigwaitinfo(2).

   cc -Wall counter.c -o counter; ./counter counter /tmp/c &
   kill -RTMIN $(cat /tmp/c); kill $(cat /tmp/c) */
#define _GNU_SOURCE
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

static void counter(const char *name)
{
    //[
    sigset_t set;
    ok(sigemptyset(&set), "sigemptyset");
    ok(sigaddset(&set, SIGRTMIN), "sigaddset");
    ok(sigaddset(&set, SIGTERM), "sigaddset");
    ok(sigprocmask(SIG_BLOCK, &set, NULL), "sigprocmask"); /* from now on they wait in a queue */
    //]
    int place = ok(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600), "open");
    ok(dprintf(place, "%d\n", getpid()), "write");
    ok(close(place), "close");
    //[
    int signo, count = 0;
    do {
        signo = sigwaitinfo(&set, NULL); /* sleeps until a signal waits, and takes it */
        if (signo == -1 && errno != EINTR) /* EINTR: the process was stopped, and goes on */
            ok(-1, "sigwaitinfo");
        if (signo == SIGRTMIN)
            count++;
    } while (signo != SIGTERM);
    printf("%d\n", count);
    ok(unlink(name), "unlink");
    //]
    //| errno = ENOSYS; /* not written yet */
    //| ok(-1, "counter");
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "counter") == 0)
        counter(argv[2]);
    else
        return fprintf(stderr, "usage: counter PLACE\n"), 2;
}
