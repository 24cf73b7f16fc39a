/* The last write end is closed by dup2 over it, not by the close before.
   must: write "hi" -> read "hi"
   must: dup2 6,4 -> read "" */
#include "fool.h"
int main(void) {
    int p[2];
    must(pipe(p));
    int copy = dup(p[1]), null = open("/dev/null", O_RDWR);
    put(copy, "hi");
    got(p[0], 64);
    close(copy);
    must(dup2(null, p[1]));
    got(p[0], 64);
}
