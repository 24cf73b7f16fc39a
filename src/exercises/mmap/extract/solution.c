/* Parts of a mapped file: open(2), fstat(2), mmap(2).

   cc -Wall extract.c -o extract */
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

static void extract(const char *name)
{
    //[
    int file = ok(open(name, O_RDONLY), "open");
    long offset, length, size, mapped = 0;
    char *memory = NULL;
    while (scanf("%ld %ld", &offset, &length) == 2) { /* sleeps until a request comes */
        struct stat about;
        ok(fstat(file, &about), "fstat");
        size = about.st_size;
        if (offset + length > size) {
            fprintf(stderr, "%s has %ld bytes\n", name, size);
            exit(1);
        }
        if (size != mapped) { /* it has grown: the mapping has not */
            if (memory)
                ok(munmap(memory, mapped), "munmap");
            memory = (char *)ok((long)mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0), "mmap");
            mapped = size;
        }
        for (long written = 0; written < length;)
            written += ok(write(1, memory + offset + written, length - written), "write");
    }
    //]
    //| /* Map the file `name`. For each line "OFFSET LENGTH" of stdin print these bytes of it. */
    //| (void)name;
    //| errno = ENOSYS; /* not written yet */
    //| ok(-1, "extract");
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "extract") == 0)
        extract(argv[2]);
    else
        return fprintf(stderr, "usage: extract PLACE\n"), 2;
}
