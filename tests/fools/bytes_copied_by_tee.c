/* tee leaves the bytes where they are; splice takes them.
   must: write "tea" -> read "tea"
   must: tee 3,6,3 -> read "tea"
   must: write "spoon" -> splice
   must: splice -> read "spoon" */
#include "fool.h"
int main(void) {
    int p[2], q[2];
    must(pipe(p));
    must(pipe(q));
    put(p[1], "tea");
    must(tee(p[0], q[1], 3, 0));
    got(p[0], 9);
    got(q[0], 9);
    put(p[1], "spoon");
    must(splice(p[0], 0, q[1], 0, 5, 0));
    got(q[0], 9);
}
