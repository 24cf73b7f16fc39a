/* A mutex and condition variables, bare: shm_open(3), flock(2), mmap(2), pthread_*(3).
   Wire: a header, the locks, 4 counters at 256, 8 slots from 4096 on: a length, then the text.
   Not here: a buffer of another shape, a producer that is killed. See chapter mutex.
   cc -Wall mutex.c -o mutex; ./mutex worker /b & ./mutex producer /b hello world */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

/* Each lock has a place of 64 bytes: its size differs from one C library to another. */
struct buffer {
    unsigned magic, version, slots, mutex_size, cond_size;
    _Alignas(64) pthread_mutex_t mutex;
    _Alignas(64) pthread_cond_t not_empty;
    _Alignas(64) pthread_cond_t not_full;
    _Alignas(64) struct { unsigned put, taken, producers, closed; };
    _Alignas(4096) struct slot { unsigned length; char text[4092]; } slot[8];
};

/* Leaves with the name of the error, if there is one. pthread_*(3) return it, others set errno. */
static void ok(int error, const char *call)
{
    if (error == -1)
        error = errno;
    if (error != 0) {
        fprintf(stderr, "%s: %s\n", call, strerrorname_np(error));
        exit(1);
    }
}

/* The same for a call that locks the mutex. If the owner has died, it is ours: what the dead one had
   half done is not counted yet, so all is whole. */
static void have(struct buffer *b, int error, const char *call)
{
    ok(error == EOWNERDEAD ? pthread_mutex_consistent(&b->mutex) : error, call);
}

/* Either may be first: the one that finds no magic makes all else, and writes the magic last. */
static struct buffer *map_buffer(const char *name)
{
    int object = shm_open(name, O_RDWR | O_CREAT, 0600);
    ok(object < 0 ? -1 : 0, "shm_open");
    ok(flock(object, LOCK_EX), "flock"); /* sleeps while another process makes it */
    ok(ftruncate(object, sizeof(struct buffer)), "ftruncate");
    struct buffer *b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED, object, 0);
    ok(b == MAP_FAILED ? -1 : 0, "mmap");
    if (b->magic == 0) {
        pthread_mutexattr_t mutex;
        pthread_condattr_t cond;
        ok(pthread_mutexattr_init(&mutex), "pthread_mutexattr_init");
        ok(pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED), "setpshared");
        ok(pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST), "setrobust");
        ok(pthread_mutex_init(&b->mutex, &mutex), "pthread_mutex_init");
        ok(pthread_condattr_init(&cond), "pthread_condattr_init");
        ok(pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED), "setpshared");
        ok(pthread_cond_init(&b->not_empty, &cond), "pthread_cond_init");
        ok(pthread_cond_init(&b->not_full, &cond), "pthread_cond_init");
        b->version = 1, b->slots = 8;
        b->mutex_size = sizeof b->mutex, b->cond_size = sizeof b->not_empty;
        b->magic = 0x6d637069; /* "ipcm" */
    }
    ok(flock(object, LOCK_UN), "flock"); /* close(2) is not enough: the map has the file open */
    return b;
}

static void worker(const char *name)
{
    struct buffer *b = map_buffer(name);
    for (;;) {
        have(b, pthread_mutex_lock(&b->mutex), "pthread_mutex_lock"); /* sleeps while another has it */
        while (b->put == b->taken && !b->closed) /* sleeps, without the mutex, until a signal */
            have(b, pthread_cond_wait(&b->not_empty, &b->mutex), "pthread_cond_wait");
        if (b->put == b->taken)
            break; /* the producers have put all, and all is taken */
        struct slot slot = b->slot[b->taken++ % 8]; /* a copy: the place is free from now on */
        ok(pthread_cond_signal(&b->not_full), "pthread_cond_signal"); /* wakes a producer */
        ok(pthread_mutex_unlock(&b->mutex), "pthread_mutex_unlock");
        int length = slot.length < sizeof slot.text ? slot.length : sizeof slot.text;
        ok(dprintf(1, "%.*s\n", length, slot.text) < 0 ? -1 : 0, "write");
    }
    ok(pthread_mutex_unlock(&b->mutex), "pthread_mutex_unlock");
    if (shm_unlink(name) == -1 && errno != ENOENT) /* another worker was first */
        ok(-1, "shm_unlink");
}

static void producer(const char *name, char *messages[])
{
    struct buffer *b = map_buffer(name);
    have(b, pthread_mutex_lock(&b->mutex), "pthread_mutex_lock"); /* sleeps while another has it */
    b->producers++, b->closed = 0;
    for (; *messages; messages++) {
        while (b->put - b->taken == 8) /* sleeps, without the mutex, until a slot is free */
            have(b, pthread_cond_wait(&b->not_full, &b->mutex), "pthread_cond_wait");
        struct slot *slot = &b->slot[b->put % 8];
        slot->length = strlen(*messages);
        ok(slot->length <= sizeof slot->text ? 0 : EMSGSIZE, "message");
        memcpy(slot->text, *messages, slot->length);
        b->put++; /* only now: a worker that sees the count finds the text */
        ok(pthread_cond_signal(&b->not_empty), "pthread_cond_signal"); /* wakes one worker */
    }
    if (--b->producers == 0) {
        b->closed = 1;
        ok(pthread_cond_broadcast(&b->not_empty), "pthread_cond_broadcast"); /* wakes all */
    }
    ok(pthread_mutex_unlock(&b->mutex), "pthread_mutex_unlock");
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "worker") == 0)
        worker(argv[2]);
    else if (argc >= 3 && strcmp(argv[1], "producer") == 0)
        producer(argv[2], argv + 3);
    else
        return fprintf(stderr, "usage: mutex worker PLACE | producer PLACE MESSAGE...\n"), 2;
}
