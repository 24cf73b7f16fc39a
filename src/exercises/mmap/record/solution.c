/* A record of a mapped file: open(2), fstat(2), ftruncate(2), mmap(2).

   cc -Wall record.c -o record */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Leaves with the name of the error, if a call has failed. */
static long ok(long result, const char *call)
{
    if (result == -1) {
        fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno));
        exit(1);
    }
    return result;
}

static void set(const char *name, long number, const char *text)
{
    int file = ok(open(name, O_RDWR | O_CREAT, 0600), "open");
    long end = 64 * (number + 1);
    //[
    struct stat about;
    ok(fstat(file, &about), "fstat");
    if (about.st_size < end) /* behind the end there is no memory, but SIGBUS */
        ok(ftruncate(file, end), "ftruncate");
    void *memory = mmap(NULL, end, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    //]
    //| ok(ftruncate(file, end), "ftruncate");
    //| void *memory = mmap(NULL, end, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    ok((long)memory, "mmap");
    strncpy((char *)memory + end - 64, text, 64); /* fills the rest with 0 */
}

int main(int argc, char *argv[])
{
    if (argc == 5 && strcmp(argv[1], "set") == 0 && strlen(argv[4]) <= 64)
        set(argv[2], atol(argv[3]), argv[4]);
    else
        return fprintf(stderr, "usage: set PLACE N TEXT\n"), 2;
}
