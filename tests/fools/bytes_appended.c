/* pwrite to a file that is open with O_APPEND writes at its end, whatever offset it names.
   must: write "head" -> pread64 "head"
   must: pwrite64 "tail" -> pread64 "tail" */
#include "fool.h"
int main(void) {
    int file = open("log", O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
    put(file, "head");
    must(pwrite(file, "tail", 4, 0));
    must(pread(file, buffer, 4, 0));
    must(pread(file, buffer, 4, 4));
    unlink("log");
}
