/* Shared memory that another process may fill with anything: shm_open(3), ftruncate(2), mmap(2), futex(2), shm_unlink(3).
   Wire: one slot: a length (0: no line; 0xffffffff: the end), a line. The role's ring is another.
   cc -Wall shm.c -o shm; ./shm receiver /m & ./shm sender /m hello world */
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

struct slot { atomic_uint length; char line[4092]; };

/* Leaves with the name of the error, if a call has failed. */
static long ok(long result, const char *call)
{
    if (result == -1) {
        fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno));
        exit(1);
    }
    return result;
}

/* Either side may be first: what ftruncate(2) adds is 0. */
static struct slot *map_slot(const char *name)
{
    int object = ok(shm_open(name, O_RDWR | O_CREAT, 0600), "shm_open");
    ok(ftruncate(object, 4096), "ftruncate");
    void *slot = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, object, 0);
    return (struct slot *)ok((long)slot, "mmap");
}

static void receiver(const char *name)
{
    struct slot *slot = map_slot(name);
    for (unsigned length; (length = slot->length) != -1u;) {
        if (length == 0) {
            futex(&slot->length, FUTEX_WAIT, 0); /* sleeps while it is 0 */
        } else if (length > sizeof slot->line) { /* loaded once: this is the number used below */
            shm_unlink(name);
            fprintf(stderr, "%s: no line has %u bytes\n", name, length);
            exit(1);
        } else {
            ok(write(1, slot->line, length), "write");
            slot->length = 0;
            futex(&slot->length, FUTEX_WAKE, 1); /* the sender may store the next line */
        }
    }
    ok(shm_unlink(name), "shm_unlink"); /* the sender has sent all */
}

static void sender(const char *name, char *messages[])
{
    struct slot *slot = map_slot(name);
    for (; *messages; messages++) {
        size_t length = strlen(*messages) + 1;
        ok(length <= 4092 ? 0 : (errno = EMSGSIZE, -1), "message");
        *stpcpy(slot->line, *messages) = '\n'; /* in place of the NUL */
        slot->length = length; /* only now: the receiver waits for a length */
        futex(&slot->length, FUTEX_WAKE, 1);
        unsigned now;
        while ((now = slot->length) == length)
            futex(&slot->length, FUTEX_WAIT, length); /* sleeps until it differs */
        if (now != 0) {
            fprintf(stderr, "%s: the length became %u\n", name, now);
            exit(1);
        }
    }
    slot->length = -1;
    futex(&slot->length, FUTEX_WAKE, 1);
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "receiver") == 0)
        receiver(argv[2]);
    else if (argc >= 3 && strcmp(argv[1], "sender") == 0)
        sender(argv[2], argv + 3);
    else
        return fprintf(stderr, "usage: shm receiver PLACE | sender PLACE MESSAGE...\n"), 2;
}
