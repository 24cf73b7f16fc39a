/* What was cut off a file is gone, even if it is as long again.
   must: write "new" -> pread64 "new\0" */
#include "fool.h"
int main(void) {
    int file = open("cut", O_RDWR | O_CREAT | O_TRUNC, 0600);
    put(file, "old words");
    must(ftruncate(file, 0));
    must(ftruncate(file, 9));
    must(pread(file, buffer, 9, 0));
    int again = open("cut", O_RDWR | O_TRUNC);
    put(again, "new");
    must(ftruncate(file, 4));
    must(pread(file, buffer, 4, 0));
    unlink("cut");
}
