/* A job runner: fork(2), waitpid(2), kill(2), prctl(2).

   cc -Wall jobs.c -o jobs; ./jobs run 'sleep 60 & sleep 60' */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
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

//[
static volatile sig_atomic_t terminated;

static void on_signal(int number) /* SIGCHLD only wakes sigsuspend */
{
    if (number == SIGTERM)
        terminated = 1;
}

/* Sends a signal to all that descend from `parent`. */
static void signal_family(int parent, int number)
{
    char name[64];
    int pids[1024], count = 0; /* the rest comes next time */
    snprintf(name, sizeof name, "/proc/%d/task/%d/children", parent, parent);
    FILE *file = fopen(name, "r");
    if (file == NULL)
        return; /* it has ended */
    while (count < 1024 && fscanf(file, "%d", &pids[count]) == 1)
        count++;
    fclose(file);
    for (int i = 0; i < count; i++) {
        signal_family(pids[i], number);
        kill(pids[i], number);
    }
}

/* Waits for all, at most so many times 5 ms; `kill_them` sends SIGKILL to those that are left. */
static void wait_for_family(int kill_them, int times)
{
    while (times-- != 0) {
        if (kill_them) /* whoever was forked meanwhile, too */
            signal_family(getpid(), SIGKILL);
        int pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (pid == -1)
            return; /* ECHILD: there is nobody any more */
        usleep(5000);
    }
}

//]
static int run(const char *command)
{
    //[
    /* What is orphaned becomes our child, and not that of process 1. */
    ok(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl");
    sigset_t term, before;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigaddset(&term, SIGCHLD);
    sigprocmask(SIG_BLOCK, &term, &before); /* outside of sigsuspend: none comes too early */
    signal(SIGTERM, on_signal);
    signal(SIGCHLD, on_signal);
    int job = ok(fork(), "fork"), status, pid = 0;
    if (job == 0) {
        signal(SIGTERM, SIG_DFL);
        signal(SIGCHLD, SIG_DFL);
        sigprocmask(SIG_SETMASK, &before, NULL);
        execl("/bin/sh", "sh", "-c", command, NULL);
        ok(-1, "execl");
    }
    for (;;) {
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0 && pid != job)
            ; /* an orphan, which was given to us */
        if (pid == job || terminated)
            break;
        sigsuspend(&before); /* sleeps until a signal */
    }
    int of_job = pid == job && WIFEXITED(status) ? WEXITSTATUS(status) : 128 + SIGTERM;
    if (pid != job) {
        signal_family(getpid(), SIGTERM);
        wait_for_family(0, 400);
        fprintf(stderr, "ended by SIGTERM, with the whole family\n");
    }
    wait_for_family(1, -1); /* what is left */
    return of_job;
    //]
    //| int job = ok(fork(), "fork"), status;
    //| if (job == 0) {
    //|     execl("/bin/sh", "sh", "-c", command, NULL);
    //|     ok(-1, "execl");
    //| }
    //| ok(waitpid(job, &status, 0), "waitpid");
    //| return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "run") == 0)
        return run(argv[2]);
    return fprintf(stderr, "usage: run COMMAND\n"), 2;
}
