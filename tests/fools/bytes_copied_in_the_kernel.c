/* sendfile and copy_file_range put bytes that never were in the program's memory.
   must: write "copy" -> sendfile
   must: sendfile -> read "copy"
   must: write "copy" -> copy_file_range
   must: copy_file_range -> pread64 "copy" */
#include "fool.h"
#include <sys/sendfile.h>
int main(void) {
    int p[2], file = open("from", O_RDWR | O_CREAT | O_TRUNC, 0600);
    int other = open("to", O_RDWR | O_CREAT | O_TRUNC, 0600);
    must(pipe(p));
    put(file, "copy");
    off_t at = 0;
    must(sendfile(p[1], file, &at, 4));
    got(p[0], 9);
    at = 0;
    must(copy_file_range(file, &at, other, 0, 4, 0));
    must(pread(other, buffer, 4, 0));
    unlink("from"), unlink("to");
}
