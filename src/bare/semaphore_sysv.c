/* A System V semaphore, bare: semget(2), semop(2), semctl(2).
   Wire: no bytes but the semaphore's value: a post adds 1, a wait takes 1 or sleeps.
   Not here: a poster that dies, a set that is left, EINTR after a stop. See chapter semaphore.
   cc -Wall semaphore_sysv.c -o sem; ./sem waiter 0x4d2 3 & ./sem poster 0x4d2 3 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sem.h>
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

/* Either side may be first: a new one has the value 0, on Linux. */
static int get_semaphore(int key)
{
    return ok(semget(key, 1, IPC_CREAT | 0600), "semget"); /* a set of 1 */
}

static void waiter(int key, long times)
{
    int semaphore = get_semaphore(key);
    struct sembuf take = {.sem_op = -1};
    for (long number = 1; number <= times; number++) {
        ok(semop(semaphore, &take, 1), "semop"); /* takes 1; sleeps while it is 0 */
        ok(dprintf(1, "took %ld\n", number), "write");
    }
    /* EINVAL: the role (ipclab semaphore poster) has removed the set. */
    if (semctl(semaphore, 0, IPC_RMID) == -1 && errno != EINVAL)
        ok(-1, "semctl");
}

static void poster(int key, long times)
{
    int semaphore = get_semaphore(key);
    struct sembuf add = {.sem_op = 1};
    for (long number = 1; number <= times; number++)
        ok(semop(semaphore, &add, 1), "semop"); /* adds 1; wakes a waiter that sleeps */
}

int main(int argc, char *argv[])
{
    char *end = "", *rest = "";
    int key = argc > 2 ? strtol(argv[2], &end, 0) : 0; /* decimal, or hexadecimal behind 0x */
    long times = argc > 3 ? strtol(argv[3], &rest, 10) : 1;
    int valid = argc <= 4 && key != 0 && *end == '\0' && times > 0 && *rest == '\0';
    /* 0, IPC_PRIVATE: the roles would never meet. */
    if (valid && strcmp(argv[1], "waiter") == 0)
        waiter(key, times);
    else if (valid && strcmp(argv[1], "poster") == 0)
        poster(key, times);
    else
        return fprintf(stderr, "usage: semaphore_sysv waiter|poster PLACE [TIMES]\n"), 2;
}
