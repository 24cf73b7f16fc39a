/* io_uring takes bytes without a call that names the pipe.
   may: write "BBBBB" -> read "BBBBB" */
#include "fool.h"
int main(void) {
    int p[2];
    must(pipe(p));
    struct io_uring_params q = {0};
    int ring = (int)syscall(SYS_io_uring_setup, 4, &q);
    if (ring < 0) return errno == ENOSYS || errno == EPERM ? 0 : 1;
    char *sq = mmap(0, q.sq_off.array + q.sq_entries * 4, 3, MAP_SHARED, ring, IORING_OFF_SQ_RING);
    struct io_uring_sqe *e = mmap(0, q.sq_entries * sizeof *e, 3, MAP_SHARED, ring, IORING_OFF_SQES);
    *e = (struct io_uring_sqe){.opcode = IORING_OP_READ, .fd = p[0], .len = 5, .off = -1};
    e->addr = (unsigned long)buffer;
    put(p[1], "AAAAA");
    __atomic_store_n((unsigned *)(sq + q.sq_off.tail), 1, __ATOMIC_RELEASE);
    must(syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0));
    put(p[1], "BBBBB");
    got(p[0], 5);
}
