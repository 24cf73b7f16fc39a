/* A file is partly overwritten: each byte comes from the last write of it.
   must: write "abcdef" -> pread64 "abXYef"
   must: pwrite64 "XY" -> pread64 "abXYef"
   must: pwrite64 "XY" -> pread64 "XY" */
#include "fool.h"
int main(void) {
    int file = open("over", O_RDWR | O_CREAT | O_TRUNC, 0600);
    put(file, "abcdef");
    must(pwrite(file, "XY", 2, 2));
    must(pread(file, buffer, 6, 0));
    must(pread(file, buffer, 2, 2));
    unlink("over");
}
