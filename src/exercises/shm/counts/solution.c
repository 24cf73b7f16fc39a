/* A counter in shared memory: shm_open(3), mmap(2).

   cc -Wall counter.c -o counter */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct words { atomic_uint count, stop, own; };

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
    int object = ok(shm_open(name, O_RDWR, 0), "shm_open");
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, object, 0);
    struct words *words = (struct words *)ok((long)memory, "mmap");
    unsigned own = 0;
    while (words->stop == 0) {
        //[
        words->count++; /* one operation: load, add and store */
        //]
        //| words->count = words->count + 1;
        own++;
    }
    words->own = own;
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "counter") == 0)
        counter(argv[2]);
    else
        return fprintf(stderr, "usage: counter PLACE\n"), 2;
}
