/* A semaphore's waiter by hand: shm_open(3), ftruncate(2), mmap(2), futex(2), shm_unlink(3).
   Wire: no bytes but a word of shared memory, the value: a post adds 1, a wait takes 1 or sleeps.
   cc -Wall semaphore_futex.c -o sem; ./sem waiter /s 3 & ipclab semaphore poster --kind futex */
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

/* Sleeps while the word has this value. No library wraps futex(2). */
#define futex_wait(word, value) syscall(SYS_futex, word, FUTEX_WAIT, value, NULL)

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
        //[
        for (;;) {
            unsigned old = *word;
            if (old == 0)
                futex_wait(word, 0); /* whatever it returns: the word is looked at again */
            else if (atomic_compare_exchange_strong(word, &old, old - 1))
                break; /* took 1: no other process has changed it since the load */
        }
        //]
        //| if (*word == 0)
        //|     futex_wait(word, 0);
        //| atomic_fetch_sub(word, 1);
        ok(dprintf(1, "took %ld\n", number), "write");
    }
    if (shm_unlink(name) == -1 && errno != ENOENT) /* another waiter did it */
        ok(-1, "shm_unlink");
}

int main(int argc, char *argv[])
{
    if (argc == 4 && strcmp(argv[1], "waiter") == 0)
        waiter(argv[2], atol(argv[3]));
    else
        return fprintf(stderr, "usage: waiter PLACE TIMES\n"), 2;
}
