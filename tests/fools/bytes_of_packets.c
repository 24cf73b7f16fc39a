/* A pipe of packets drops the rest of one that is read in part.
   must: write "one long" -> read "one"
   must: write "two" -> read "two" */
#include "fool.h"
int main(void) {
    int p[2];
    must(pipe2(p, O_DIRECT));
    put(p[1], "one long");
    put(p[1], "two");
    got(p[0], 3);
    got(p[0], 9);
}
