/* A mapped file that another process may cut short: mmap(2), signal(2), futex(2).
   Wire: one slot: a length (0: no line; 0xffffffff: the end), a line. The role's ring is another.
   cc -Wall mmap.c -o mmap; ./mmap receiver /tmp/m & ./mmap sender /tmp/m hello world */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
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

/* Another process has cut the file short: an access to what is gone sends SIGBUS. */
static void cut_short(int signal)
{
    (void)signal; /* only what a handler may call: see signal-safety(7) */
    if (write(2, "the file was cut short\n", 23) == -1)
        _exit(3);
    _exit(1);
}

/* Either side may be first: what ftruncate(2) adds is 0. */
static struct slot *map_slot(const char *name)
{
    signal(SIGBUS, cut_short);
    int file = ok(open(name, O_RDWR | O_CREAT, 0600), "open");
    ok(ftruncate(file, 4096), "ftruncate");
    void *slot = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    return (struct slot *)ok((long)slot, "mmap");
}

static void receiver(const char *name)
{
    struct slot *slot = map_slot(name);
    for (unsigned length; (length = slot->length) != -1u;) {
        if (length == 0) {
            futex(&slot->length, FUTEX_WAIT, 0); /* sleeps while it is 0 */
        } else {
            ok(write(1, slot->line, length < 4092 ? length : 4092), "write");
            slot->length = 0;
            futex(&slot->length, FUTEX_WAKE, 1); /* the sender may store the next line */
        }
    }
    ok(unlink(name), "unlink"); /* the sender has sent all */
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
        while (slot->length != 0)
            futex(&slot->length, FUTEX_WAIT, length); /* sleeps until it is 0 */
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
        return fprintf(stderr, "usage: mmap receiver PLACE | sender PLACE MESSAGE...\n"), 2;
}
