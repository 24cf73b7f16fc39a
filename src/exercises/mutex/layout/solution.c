/* A table in shared memory, made by another program: shm_open(3), fstat(2), mmap(2).
   cc -Wall show.c -o show; ./show show /table */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
//[
#include <sys/stat.h>
//]

struct header { char magic[4]; uint32_t version, size, count; };
struct entry { uint8_t kind; uint32_t value; };

/* Leaves with the name of the error, if a call has failed. */
static long ok(long result, const char *call)
{
    if (result == -1) {
        fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno));
        exit(1);
    }
    return result;
}

static void refuse(const char *name, const char *why)
{
    fprintf(stderr, "%s: %s\n", name, why);
    exit(1);
}

static void show(const char *name)
{
    int object = ok(shm_open(name, O_RDONLY, 0), "shm_open");
    size_t length = 4096;
    //[
    struct stat about;
    ok(fstat(object, &about), "fstat");
    length = about.st_size;
    if (length < sizeof(struct header))
        refuse(name, "too short for a header");
    //]
    const char *table = mmap(NULL, length, PROT_READ, MAP_SHARED, object, 0);
    ok((long)table, "mmap");
    struct header header;
    memcpy(&header, table, sizeof header); /* what is checked is what is used */
    if (memcmp(header.magic, "tabl", 4) != 0 || header.version == 0)
        refuse(name, "no table");
    size_t size = sizeof header;
    //[
    size = header.size;
    if (size < sizeof header || size > length)
        refuse(name, "no such header");
    if (header.count > (length - size) / sizeof(struct entry)) /* no product: it could wrap */
        refuse(name, "too short for its entries");
    //]
    for (size_t i = 0; i < header.count; i++) {
        struct entry entry;
        memcpy(&entry, table + size + i * sizeof entry, sizeof entry);
        printf("%u %u\n", entry.kind, entry.value);
    }
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "show") == 0)
        show(argv[2]);
    else
        return fprintf(stderr, "usage: show PLACE\n"), 2;
}
