/* One is woken by a wake of one, the other by one that nobody can tell apart.
   may: futex shared+0x0,FUTEX_WAKE,1 -> futex */
#include "fool.h"
int main(void) {
    int *word = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child[2];
    for (int n = 0; n < 2; n++) {
        child[n] = fork();
        if (child[n] == 0) _exit(syscall(SYS_futex, word, FUTEX_WAIT, 0, 0, 0, 0) != 0);
    }
    until_asleep(child[0]), until_asleep(child[1]);
    must(syscall(SYS_futex, word, FUTEX_WAKE, 1, 0, 0, 0));
    must(syscall(SYS_futex, word, FUTEX_WAKE_BITSET, 1, 0, 0, 1));
    wait(0), wait(0);
}
