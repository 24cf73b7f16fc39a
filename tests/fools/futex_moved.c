/* Who slept at one word was moved to another, and woken there.
 */
#include "fool.h"
int main(void) {
    int *words = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();
    if (child == 0) _exit(syscall(SYS_futex, words, FUTEX_WAIT, 0, 0, 0, 0) != 0);
    until_asleep(child);
    must(syscall(SYS_futex, words, FUTEX_CMP_REQUEUE, 0, 1, words + 1, 0));
    must(syscall(SYS_futex, words, FUTEX_WAKE, 1, 0, 0, 0));
    must(syscall(SYS_futex, words + 1, FUTEX_WAKE, 1, 0, 0, 0));
    wait(0);
}
