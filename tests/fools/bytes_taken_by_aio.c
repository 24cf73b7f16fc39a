/* io_submit takes the first of two messages that look alike.
   may: write "x" -> read "x" */
#include "fool.h"
#include <linux/aio_abi.h>
int main(void) {
    int p[2];
    must(pipe(p));
    aio_context_t context = 0;
    must(syscall(SYS_io_setup, 1, &context));
    struct iocb one = {.aio_fildes = p[0], .aio_lio_opcode = IOCB_CMD_PREAD,
                       .aio_buf = (unsigned long)buffer, .aio_nbytes = 3}, *all = &one;
    put(p[1], "one");
    must(syscall(SYS_io_submit, context, 1, &all));
    put(p[1], "two");
    got(p[0], 3);
}
