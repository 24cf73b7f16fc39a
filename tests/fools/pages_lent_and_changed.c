/* vmsplice lends pages; what is read is what they hold by then.
 */
#include "fool.h"
int main(void) {
    int p[2];
    must(pipe(p));
    char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page, "lent", 4);
    must(vmsplice(p[1], &(struct iovec){page, 4}, 1, 0));
    memcpy(page, "else", 4);
    got(p[0], 9);
}
