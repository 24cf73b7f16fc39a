/* An inode's number is used again at once.
   must: write "two" -> pread64 "two" */
#include "fool.h"
int main(void) {
    int file = open("one", O_RDWR | O_CREAT | O_EXCL, 0600);
    put(file, "one");
    unlink("one"), close(file);
    file = open("two", O_RDWR | O_CREAT | O_EXCL, 0600);
    put(file, "two");
    must(pread(file, buffer, 3, 0));
    unlink("two");
}
