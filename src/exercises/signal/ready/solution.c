/* A signal that cannot come too early: sigprocmask(2), sigwaitinfo(2).

   cc -Wall worker.c -o worker; mkfifo /tmp/w; ./worker worker /tmp/w & kill -USR1 $(cat /tmp/w) */
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
//|
//| static volatile sig_atomic_t came;
//|
//| static void note(int signo)
//| {
//|     came = signo;
//| }

static void worker(const char *name)
{
    //[
    sigset_t set;
    ok(sigemptyset(&set), "sigemptyset");
    ok(sigaddset(&set, SIGUSR1), "sigaddset");
    ok(sigaddset(&set, SIGTERM), "sigaddset");
    ok(sigprocmask(SIG_BLOCK, &set, NULL), "sigprocmask"); /* from now on a signal waits */
    //]
    //| signal(SIGUSR1, note); /* open goes on afterwards: glibc sets SA_RESTART */
    //| signal(SIGTERM, note);
    for (;;) {
        //| came = 0;
        int place = ok(open(name, O_WRONLY), "open"); /* sleeps until somebody reads */
        ok(dprintf(place, "%d\n", getpid()), "write");
        ok(close(place), "close");
        //[
        int came = sigwaitinfo(&set, NULL); /* sleeps unless one has come */
        while (came == -1 && errno == EINTR) /* the process was stopped, and goes on */
            came = sigwaitinfo(&set, NULL);
        //]
        //| pause(); /* sleeps until a signal comes */
        if (came == SIGTERM)
            return;
        ok(write(1, "work\n", 5), "write");
    }
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "worker") == 0)
        worker(argv[2]);
    else
        return fprintf(stderr, "usage: worker PLACE\n"), 2;
}
