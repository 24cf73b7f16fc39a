/* A worker that waits for a condition: shm_open(3), mmap(2), pthread_cond_wait(3).
   cc -Wall worker.c -o worker; ./worker worker /items */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct shared {
    pthread_mutex_t mutex;
    _Alignas(64) pthread_cond_t changed;
    _Alignas(64) struct { unsigned items, taken, closed; };
};

/* Leaves with the name of the error, if there is one. */
static void ok(int error, const char *call)
{
    if (error != 0) {
        fprintf(stderr, "%s: %s\n", call, strerrorname_np(error));
        exit(1);
    }
}

static void worker(const char *name)
{
    int object = shm_open(name, O_RDWR, 0);
    ok(object == -1 ? errno : 0, "shm_open");
    struct shared *s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, object, 0);
    ok(s == MAP_FAILED ? errno : 0, "mmap");
    for (;;) {
        ok(pthread_mutex_lock(&s->mutex), "pthread_mutex_lock"); /* sleeps while another has it */
        //[
        while (s->items == 0 && !s->closed) /* again after each wake-up */
            ok(pthread_cond_wait(&s->changed, &s->mutex), "pthread_cond_wait"); /* sleeps */
        if (s->items == 0)
            break;
        //]
        //| if (s->items == 0 && !s->closed)
        //|     ok(pthread_cond_wait(&s->changed, &s->mutex), "pthread_cond_wait"); /* sleeps */
        //| if (s->items == 0 && s->closed)
        //|     break;
        s->items--;
        s->taken++;
        ok(pthread_mutex_unlock(&s->mutex), "pthread_mutex_unlock");
        ok(dprintf(1, "took one\n") < 0 ? errno : 0, "write");
    }
    ok(pthread_mutex_unlock(&s->mutex), "pthread_mutex_unlock");
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "worker") == 0)
        worker(argv[2]);
    else
        return fprintf(stderr, "usage: worker PLACE\n"), 2;
}
