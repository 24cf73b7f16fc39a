/* A filter whose output is not late: open(2), read(2), write(2).

   cc -Wall number.c -o number; mkfifo /tmp/f; ./number number /tmp/f | cat & cat > /tmp/f */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void number(const char *name)
{
    FILE *lines = fopen(name, "r");
    if (!lines) {
        fprintf(stderr, "open: %s\n", strerrorname_np(errno));
        exit(1);
    }
    char *line = NULL;
    size_t room = 0;
    for (int count = 1; getline(&line, &room, lines) > 0; count++) { /* sleeps until it has come */
        line[strcspn(line, "\n")] = '\0';
        printf("%d %s\n", count, line); /* into the buffer of this process */
        //[
        fflush(stdout); /* into the pipe: write(2) */
        //]
    }
    free(line);
    fclose(lines);
}

int main(int argc, char *argv[])
{
    if (argc == 3 && strcmp(argv[1], "number") == 0)
        number(argv[2]);
    else
        return fprintf(stderr, "usage: number PLACE\n"), 2;
}
