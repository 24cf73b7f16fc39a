/* A semaphore by hand, bare: shm_open(3), ftruncate(2), mmap(2), futex(2), shm_unlink(3).
   Wire: no bytes but a word of shared memory, the value: a post adds 1, a wait takes 1 or sleeps.
   Not here: a poster that dies, a name that is left, the largest value. See chapter semaphore.
   cc -Wall semaphore_futex.c -o sem; ./sem waiter /s 3 & ./sem poster /s 3 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* No library wraps futex(2). EAGAIN, EINTR: the callers look at the word again. */
#define futex(word, op, value) syscall(SYS_futex, word, op, value, NULL)

/* Leaves with the name of the error, if a call has failed. */
static long ok(long result, const char *call)
{
    if (result == -1) {
        fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno));
        exit(1);
    }
    return result;
}

/* Either side may be first: a new one has the value 0. */
static atomic_uint *map_word(const char *name)
{
    int object = ok(shm_open(name, O_RDWR | O_CREAT, 0600), "shm_open");
    ok(ftruncate(object, 4), "ftruncate");
    void *at = mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, object, 0);
    return (atomic_uint *)ok((long)at, "mmap");
}

static void waiter(const char *name, long times)
{
    atomic_uint *word = map_word(name);
    for (long number = 1; number <= times; number++) {
        for (;;) {
            unsigned old = *word;
            if (old == 0)
                futex(word, FUTEX_WAIT, 0); /* sleeps while it is 0 */
            else if (atomic_compare_exchange_strong(word, &old, old - 1))
                break; /* took 1: no other process has changed it since the load */
        }
        ok(dprintf(1, "took %ld\n", number), "write");
    }
    if (shm_unlink(name) == -1 && errno != ENOENT) /* the role (ipclab semaphore poster) did it */
        ok(-1, "shm_unlink");
}

static void poster(const char *name, long times)
{
    atomic_uint *word = map_word(name);
    for (long number = 1; number <= times; number++) {
        atomic_fetch_add(word, 1);
        futex(word, FUTEX_WAKE, 1); /* wakes a waiter that sleeps */
    }
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
        return fprintf(stderr, "usage: semaphore_futex waiter|poster PLACE [TIMES]\n"), 2;
}
