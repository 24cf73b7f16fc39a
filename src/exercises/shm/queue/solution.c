/* A bounded queue in shared memory: shm_open(3), mmap(2), sem_init(3), sem_wait(3), sem_post(3).

   cc -Wall -pthread queue.c -o queue */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

//[
struct place { unsigned length; char text[200]; };
struct queue { sem_t items, room, lock; unsigned put, taken; struct place places[8]; };
//]
//| struct queue { int nothing; };

/* Leaves with the name of the error, if a call has failed. */
static long ok(long result, const char *call)
{
    if (result == -1) {
        fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno));
        exit(1);
    }
    return result;
}

static struct queue *map_queue(const char *name, int flags)
{
    int object = ok(shm_open(name, O_RDWR | flags, 0600), "shm_open");
    if (flags)
        ok(ftruncate(object, sizeof(struct queue)), "ftruncate");
    void *queue = mmap(NULL, sizeof(struct queue), PROT_READ | PROT_WRITE, MAP_SHARED, object, 0);
    return (struct queue *)ok((long)queue, "mmap");
}

static void make(const char *name)
{
    struct queue *queue = map_queue(name, O_CREAT | O_EXCL);
    //[
    ok(sem_init(&queue->items, 1, 0), "sem_init");
    ok(sem_init(&queue->room, 1, 8), "sem_init");
    ok(sem_init(&queue->lock, 1, 1), "sem_init");
    //]
    //| (void)queue; /* what does an empty queue hold? */
}

static void put(const char *name, char *messages[])
{
    struct queue *queue = map_queue(name, 0);
    //[
    for (; *messages; messages++) {
        unsigned length = strlen(*messages);
        ok(length <= 200 ? 0 : (errno = EMSGSIZE, -1), "message");
        ok(sem_wait(&queue->room), "sem_wait"); /* sleeps while the queue is full */
        ok(sem_wait(&queue->lock), "sem_wait"); /* the ring is ours */
        struct place *place = &queue->places[queue->put++ % 8];
        place->length = length;
        memcpy(place->text, *messages, length);
        ok(sem_post(&queue->lock), "sem_post");
        ok(sem_post(&queue->items), "sem_post");
    }
    //]
    //| (void)queue, (void)messages;
    //| errno = ENOSYS; /* not written yet */
    //| ok(-1, "put");
}

static void take(const char *name, int count)
{
    struct queue *queue = map_queue(name, 0);
    //[
    while (count-- > 0) {
        ok(sem_wait(&queue->items), "sem_wait"); /* sleeps while the queue is empty */
        ok(sem_wait(&queue->lock), "sem_wait");
        struct place place = queue->places[queue->taken++ % 8];
        ok(sem_post(&queue->lock), "sem_post");
        ok(sem_post(&queue->room), "sem_post");
        ok(dprintf(1, "%.*s\n", (int)place.length, place.text), "write");
    }
    //]
    //| (void)queue, (void)count;
    //| errno = ENOSYS; /* not written yet */
    //| ok(-1, "take");
}

int main(int argc, char *argv[])
{
    const char *role = argc > 2 ? argv[1] : "";
    if (strcmp(role, "make") == 0)
        make(argv[2]);
    else if (strcmp(role, "put") == 0)
        put(argv[2], argv + 3);
    else if (strcmp(role, "take") == 0 && argc == 4)
        take(argv[2], atoi(argv[3]));
    else if (strcmp(role, "remove") == 0)
        ok(shm_unlink(argv[2]), "shm_unlink");
    else
        return fprintf(stderr, "usage: make PLACE | put PLACE MESSAGE... | take PLACE COUNT | "
                               "remove PLACE\n"), 2;
}
