/* A POSIX semaphore of this run: sem_open(3), sem_wait(3), sem_post(3), sem_unlink(3).
   Wire: no bytes but the semaphore's value: a post adds 1, a wait takes 1 or sleeps.
   cc -Wall semaphore.c -o sem; ./sem waiter /s 3 & ./sem poster /s 3 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
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

static sem_t *open_semaphore(const char *name, int flags)
{
    sem_t *semaphore = sem_open(name, flags, 0600, 0);
    if (semaphore == SEM_FAILED)
        ok(-1, "sem_open");
    return semaphore;
}

static void remove_semaphore(const char *name)
{
    if (sem_unlink(name) == -1 && errno != ENOENT) /* there was none */
        ok(-1, "sem_unlink");
}

/* The waiter is first, and its semaphore is a new one, with the value 0. */
static void waiter(const char *name, long times)
{
    remove_semaphore(name); /* what a killed run has left: its posts go with it */
    sem_t *semaphore = open_semaphore(name, O_CREAT | O_EXCL);
    for (long number = 1; number <= times; number++) {
        ok(sem_wait(semaphore), "sem_wait"); /* takes 1; sleeps while it is 0 */
        ok(dprintf(1, "took %ld\n", number), "write");
    }
    remove_semaphore(name);
}

static void poster(const char *name, long times)
{
    sem_t *semaphore = open_semaphore(name, 0); /* ENOENT: no waiter is there */
    for (long number = 1; number <= times; number++)
        ok(sem_post(semaphore), "sem_post"); /* adds 1; wakes a waiter that sleeps */
}

int main(int argc, char *argv[])
{
    char *end = "";
    long times = argc > 3 ? strtol(argv[3], &end, 10) : 1;
    int valid = (argc == 3 || argc == 4) && times > 0 && *end == '\0';
    if (valid && strcmp(argv[1], "waiter") == 0)
        waiter(argv[2], times);
    else if (valid && strcmp(argv[1], "poster") == 0)
        poster(argv[2], times);
    else
        return fprintf(stderr, "usage: semaphore waiter|poster PLACE [TIMES]\n"), 2;
}
