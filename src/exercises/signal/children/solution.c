/* Children that are all collected: sigwaitinfo(2), waitpid(2).

   cc -Wall parent.c -o parent; mkfifo /tmp/p; ./parent parent /tmp/p &
   kill -USR1 $!; echo hello > /tmp/p; kill $! */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
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

static void parent(const char *name)
{
    sigset_t set, old;
    ok(sigemptyset(&set), "sigemptyset");
    ok(sigaddset(&set, SIGUSR1), "sigaddset");
    ok(sigaddset(&set, SIGCHLD), "sigaddset");
    ok(sigaddset(&set, SIGTERM), "sigaddset");
    ok(sigprocmask(SIG_BLOCK, &set, &old), "sigprocmask");
    int running = 0, ended[2] = { 0, 0 }; /* well, and in another way */
    bool ending = false;
    while (running > 0 || !ending) {
        int status, signo = sigwaitinfo(&set, NULL); /* sleeps until a signal waits */
        if (signo == -1 && errno != EINTR) /* EINTR: the process was stopped, and goes on */
            ok(-1, "sigwaitinfo");
        if (signo == SIGTERM)
            ending = true;
        if (signo == SIGUSR1) {
            if (ok(fork(), "fork") == 0) {
                ok(sigprocmask(SIG_SETMASK, &old, NULL), "sigprocmask");
                execlp("cat", "cat", name, NULL);
                _exit(127);
            }
            running++;
        }
        //[
        /* One signal may stand for several children: a standard signal waits once. */
        while (signo == SIGCHLD && running > 0 && ok(waitpid(-1, &status, WNOHANG), "waitpid") > 0) {
            running--;
            ended[status != 0]++;
        }
        //]
        //| if (signo == SIGCHLD && ok(waitpid(-1, &status, WNOHANG), "waitpid") > 0) {
        //|     running--;
        //|     ended[status != 0]++;
        //| }
    }
    printf("well %d\nfailed %d\n", ended[0], ended[1]);
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "parent") == 0)
        parent(argv[2]);
    else
        return fprintf(stderr, "usage: parent PLACE\n"), 2;
}
