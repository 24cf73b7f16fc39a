/* Makes system calls that the kernel does not do: a seccomp filter answers all of them with an
 * error number (0: with success), but for exit_group(7). A tracer sees each one.
 *
 *   calls ERRNO            every number from 0 on, each argument -1
 *   calls ERRNO SEED N     N calls with numbers and arguments of the generator that SEED begins
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LAST = 480 };

static uint64_t state;
static uint64_t next(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

static char *pages;
static uint64_t argument(void) {
    uint64_t any = next();
    switch (any % 12) {
    case 0: return 0;
    case 1: return any >> 60;
    case 2: return -(any >> 60);
    case 3: return UINT64_MAX - (any >> 58);
    case 4: return (uint64_t)1 << (any >> 58);
    case 5: return any >> 32;
    case 6: return any;
    case 7: return INT64_MAX - (any >> 60);
    /* The end of what is mapped. */
    case 8: return (uint64_t)pages + 8192 - (any >> 56);
    default: return (uint64_t)pages + (any >> 52);
    }
}

/* The filter is not asked of uretprobe and uprobe, which end who calls them. */
static int allowed(long number) {
#ifdef __x86_64__
    return number != 335 && number != 336;
#else
    return number >= 0;
#endif
}

int main(int count, char **words) {
    (void)count;
    pages = mmap(0, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(pages + 8192, 4096);
    uint32_t error = atoi(words[1]);
    long many = words[2] ? atol(words[3]) : 0;
    state = words[2] ? (uint64_t)atol(words[2]) * 0x9e3779b97f4a7c15 + 1 : 1;
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 7, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 1;
    for (long number = 0; !words[2] && number < LAST; number++)
        if (allowed(number)) syscall(number, -1L, -1L, -1L, -1L, -1L, -1L);
    for (; many > 0; many--) {
        /* What structs are made of: small numbers, addresses, and anything. */
        for (int n = 0; n < 64; n++)
            ((uint64_t *)pages)[next() % 1024] = argument();
        long number = next() % LAST;
        if (allowed(number) && number != SYS_exit_group) syscall(number, argument(), argument(), argument(), argument(), argument(), argument());
    }
    syscall(SYS_exit_group, 7L);
}
