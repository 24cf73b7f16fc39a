/* A process that ends closes what it has open, before anybody waits for it.
   must: write "hi" -> read "hi"
   must: end -> read "" */
#include "fool.h"
int main(void) {
    int p[2];
    must(pipe(p));
    if (fork() == 0) {
        put(p[1], "hi");
        _exit(0);
    }
    close(p[1]);
    while (got(p[0], 64) > 0) {}
    wait(0);
}
