/* A store into mapped pages is no call.
   must: write "same" -> pread64 "same" */
#include "fool.h"
int main(void) {
    int file = open("mapped", O_RDWR | O_CREAT | O_TRUNC, 0600);
    put(file, "same");
    must(pread(file, buffer, 4, 0));
    char *pages = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    memcpy(pages, "SAME", 4);
    memcpy(pages, "same", 4);
    must(pread(file, buffer, 4, 0));
    unlink("mapped");
}
