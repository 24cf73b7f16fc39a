/* dup3 closes what it replaces.
   must: write "hi" -> read "hi"
   must: dup3 5,4 -> read "" */
#include "fool.h"
int main(void) {
    int p[2];
    must(pipe(p));
    int null = open("/dev/null", O_RDWR);
    put(p[1], "hi");
    got(p[0], 64);
    must(dup3(null, p[1], O_CLOEXEC));
    got(p[0], 64);
}
