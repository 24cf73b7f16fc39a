/* Another process's memory, bare: process_vm_readv(2), process_vm_writev(2), pidfd_getfd(2).
   Wire: PLACE holds the target's pid, start (0: not told), the address of a table, 2 eventfds.
   The table: a message's number, address (0: the end), length; number taken; reader's start, pid.
   Not here: a process that dies, a pid that is another's by now, half a copy. See chapter procvm.
   cc -Wall procvm.c -o procvm; ./procvm target /tmp/v hello & sleep 1; ./procvm reader /tmp/v */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct table { uint64_t number, address, length, taken, start, reader; };

/* Leaves with the name of the error, if a call has failed. */
static long ok(long result, const char *call)
{
    if (result == -1)
        exit((fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno)), 1));
    return result;
}

static void target(const char *name, char *messages[])
{
    static volatile struct table table; /* volatile: the reader writes to it, too */
    int offered = ok(eventfd(0, 0), "eventfd"), taken = ok(eventfd(0, 0), "eventfd");
    prctl(PR_SET_PTRACER, -1L); /* any process of ours may read us; EINVAL without Yama */
    int place = ok(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600), "open");
    ok(dprintf(place, "%d 0 %jx %d %d\n", getpid(), (uintmax_t)&table, offered, taken), "write");
    for (char **next = messages;; next++) {
        table.address = (uintptr_t)*next; /* the NULL after the last one is the end */
        table.length = *next ? strlen(*next) : 0;
        __sync_synchronize();
        table.number++; /* only now: the others belong to it */
        ok(eventfd_write(offered, 1), "write"); /* wakes the reader */
        eventfd_t times; /* sleeps until the reader has taken it: the bytes are still ours alone */
        while (table.taken != table.number)
            ok(eventfd_read(taken, &times), "read");
        if (*next == NULL)
            break;
    }
    ok(unlink(name), "unlink");
}

static void reader(const char *name)
{
    char text[128] = "";
    int pid, offered, taken;
    uintmax_t at;
    /* ENOENT: no target yet */
    ok(read(ok(open(name, O_RDONLY), "open"), text, sizeof text - 1), "read");
    if (sscanf(text, "%d %*s %jx %d %d", &pid, &at, &offered, &taken) != 4)
        ok((errno = EBADMSG, -1), "sscanf");
    int process = ok(syscall(SYS_pidfd_open, pid, 0), "pidfd_open");
    /* EPERM, unless we may trace the target */
    offered = ok(syscall(SYS_pidfd_getfd, process, offered, 0), "pidfd_getfd");
    taken = ok(syscall(SYS_pidfd_getfd, process, taken, 0), "pidfd_getfd");
    for (struct table table;;) {
        struct iovec here = {&table, sizeof table}, there = {(void *)(uintptr_t)at, sizeof table};
        ok(process_vm_readv(pid, &here, 1, &there, 1, 0), "process_vm_readv");
        if (table.number == table.taken) { /* sleeps until the target offers the next one */
            ok(eventfd_read(offered, &(eventfd_t){0}), "read");
            continue;
        }
        if (table.address) {
            char *bytes = malloc(table.length + 1);
            here = (struct iovec){bytes, table.length};
            there = (struct iovec){(void *)(uintptr_t)table.address, table.length};
            /* out of the target's memory into ours: one copy */
            long n = ok(process_vm_readv(pid, &here, 1, &there, 1, 0), "process_vm_readv");
            bytes[n] = '\n';
            ok(write(1, bytes, n + 1), "write");
            free(bytes);
        }
        uint64_t ours[] = {table.number, 0, getpid()};
        here = (struct iovec){ours, sizeof ours};
        there = (struct iovec){(void *)(uintptr_t)(at + 24), sizeof ours};
        ok(process_vm_writev(pid, &here, 1, &there, 1, 0), "process_vm_writev");
        ok(eventfd_write(taken, 1), "write"); /* wakes the target */
        if (table.address == 0)
            return;
    }
}

int main(int argc, char *argv[])
{
    if (argc > 2 && strcmp(argv[1], "target") == 0)
        target(argv[2], argv + 3);
    else if (argc == 3 && strcmp(argv[1], "reader") == 0)
        reader(argv[2]);
    else
        return fprintf(stderr, "usage: procvm target PLACE MESSAGE... | reader PLACE\n"), 2;
}
