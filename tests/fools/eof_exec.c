/* exec closes the last write end; the program it runs ends much later.
   must: execve -> read ""
   must: close -> read "" */
#include "fool.h"
int main(int n, char **words) {
    int p[2], alive[2];
    if (n > 1) return got(atoi(words[1]), 1);
    must(pipe2(p, O_CLOEXEC));
    must(pipe(alive));
    if (fork() == 0) {
        char number[9];
        snprintf(number, sizeof number, "%d", alive[0]);
        close(alive[1]), close(p[0]);
        execl(words[0], words[0], number, NULL);
        _exit(1);
    }
    close(p[1]), close(alive[0]);
    got(p[0], 64);
    close(alive[1]);
    wait(0);
}
