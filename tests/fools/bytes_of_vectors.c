/* preadv2 and pwritev2 with offset -1 are readv and writev.
   must: pwritev2 "one" -> preadv2 "one"
   must: write "two" -> read "two" */
#include "fool.h"
int main(void) {
    int p[2];
    must(pipe(p));
    struct iovec v = {"one", 3};
    must(pwritev2(p[1], &v, 1, -1, 0));
    put(p[1], "two");
    v = (struct iovec){buffer, 3};
    must(preadv2(p[0], &v, 1, -1, 0));
    got(p[0], 3);
}
