/* A System V semaphore, bare: semget(2), semop(2), semctl(2).
   Wire: no bytes but the semaphore's value: a post adds 1, a wait takes 1 or sleeps.
   Not here: a poster that dies, a set that is left, a signal in a call. See chapter semaphore.
   cc -Wall semaphore_sysv.c -o sem; ./sem waiter 1234 3; ./sem poster 1234 3 */
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

static void waiter(int key, int times)
{
    int semaphore = get_semaphore(key);
    struct sembuf take = {.sem_op = -1};
    for (int number = 1; number <= times; number++) {
        ok(semop(semaphore, &take, 1), "semop"); /* takes 1; sleeps while it is 0 */
        ok(dprintf(1, "took %d\n", number), "write");
    }
    semctl(semaphore, 0, IPC_RMID); /* EINVAL: the poster has removed the set */
}

static void poster(int key, int times)
{
    int semaphore = get_semaphore(key);
    struct sembuf add = {.sem_op = 1};
    for (int number = 1; number <= times; number++)
        ok(semop(semaphore, &add, 1), "semop"); /* adds 1; wakes a waiter that sleeps */
}

int main(int argc, char *argv[])
{
    int times = argc == 4 ? atoi(argv[3]) : 1;
    if ((argc == 3 || argc == 4) && strcmp(argv[1], "waiter") == 0)
        waiter(atoi(argv[2]), times);
    else if ((argc == 3 || argc == 4) && strcmp(argv[1], "poster") == 0)
        poster(atoi(argv[2]), times);
    else
        return fprintf(stderr, "usage: semaphore_sysv waiter|poster PLACE [TIMES]\n"), 2;
}
