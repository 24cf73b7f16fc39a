/* Bytes of another process's memory: process_vm_readv(2).

   cc -Wall reader.c -o reader */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

static void reader(const char *place)
{
    //[
    FILE *file = fopen(place, "r");
    int pid;
    uintmax_t address;
    size_t length;
    if (file == NULL || fscanf(file, "%d %jx %zu", &pid, &address, &length) != 3) {
        fprintf(stderr, "%s: not three words\n", place);
        exit(1);
    }
    char *room = malloc(length);
    struct iovec here = {room, length}, there = {(void *)(uintptr_t)address, length};
    ssize_t n = process_vm_readv(pid, &here, 1, &there, 1, 0);
    if (n == -1) { /* not one byte is there */
        fprintf(stderr, "process_vm_readv: %s\n", strerrorname_np(errno));
        exit(1);
    }
    fwrite(room, 1, n, stdout);
    if ((size_t)n < length) {
        fprintf(stderr, "only %zd of %zu bytes are there\n", n, length);
        exit(1);
    }
    //]
    //| /* Read the line, copy the bytes, and print them. */
    //| fprintf(stderr, "reader %s: not written yet\n", place);
    //| exit(1);
}

int main(int argc, char *argv[])
{
    if (argc != 3 || strcmp(argv[1], "reader") != 0)
        return fprintf(stderr, "usage: reader PLACE\n"), 2;
    reader(argv[2]);
}
