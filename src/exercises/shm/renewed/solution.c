/* A number in shared memory, whose object may be replaced: shm_open(3), fstat(2), mmap(2).
   cc -Wall look.c -o look; ./look look /number */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
//[
#include <sys/stat.h>
#include <unistd.h>
//]

/* Leaves with the name of the error, if a call has failed. */
static long ok(long result, const char *call)
{
    if (result == -1) {
        fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno));
        exit(1);
    }
    return result;
}

static void print(int object)
{
    unsigned *shared = mmap(NULL, 4, PROT_READ, MAP_SHARED, object, 0);
    ok((long)shared, "mmap");
    printf("%u\n", *shared);
    ok(munmap(shared, 4), "munmap");
}

static void look(const char *name)
{
    char line[100];
    //| int object = ok(shm_open(name, O_RDONLY, 0), "shm_open");
    while (fgets(line, sizeof line, stdin)) { /* sleeps until a question comes */
        //[
        int object = shm_open(name, O_RDONLY, 0);
        if (object == -1 && errno != ENOENT)
            ok(object, "shm_open");
        struct stat about = {.st_size = 0};
        if (object != -1)
            ok(fstat(object, &about), "fstat");
        if (about.st_size < 4)
            printf("none\n");
        else
            print(object);
        if (object != -1)
            ok(close(object), "close");
        //]
        //| print(object);
        fflush(stdout);
    }
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "look") == 0)
        look(argv[2]);
    else
        return fprintf(stderr, "usage: look PLACE\n"), 2;
}
