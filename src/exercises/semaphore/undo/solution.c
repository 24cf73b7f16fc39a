/* A worker whose lock is given back even if it is killed: semget(2), semop(2).

   cc -Wall worker.c -o worker; ./worker worker 0x4d2 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sem.h>
#include <unistd.h>

enum { LOCK, LEAVE };

/* Leaves with the name of the error, if a call has failed. */
static long ok(long result, const char *call)
{
    if (result == -1) {
        fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno));
        exit(1);
    }
    return result;
}

/* Adds to a semaphore of the set; sleeps while its value would be below 0. */
static void add(int set, int number, int value, int flags)
{
    struct sembuf operation = {.sem_num = number, .sem_op = value, .sem_flg = flags};
    //[
    while (semop(set, &operation, 1) == -1)
        if (errno != EINTR) /* it was stopped, and goes on */
            ok(-1, "semop");
    //]
    //| ok(semop(set, &operation, 1), "semop");
}

static void worker(int key)
{
    int set = ok(semget(key, 2, 0), "semget");
    //[
    add(set, LOCK, -1, SEM_UNDO); /* the kernel notes what to add when this process ends */
    //]
    //| add(set, LOCK, -1, 0);
    ok(write(1, "working\n", 8), "write");
    add(set, LEAVE, -1, 0);
    //[
    add(set, LOCK, 1, SEM_UNDO); /* and that there is nothing to add any more */
    //]
    //| add(set, LOCK, 1, 0);
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "worker") == 0)
        worker(strtol(argv[2], NULL, 0)); /* decimal, or hexadecimal behind 0x */
    else
        return fprintf(stderr, "usage: worker PLACE\n"), 2;
}
