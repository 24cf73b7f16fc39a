/* A signal to the whole group comes before one to the process alone, which is lost.
   must: kill #1 -> rt_sigtimedwait */
#include "fool.h"
int main(void) {
    sigset_t all;
    siginfo_t info;
    setpgid(0, 0);
    sigemptyset(&all), sigaddset(&all, SIGUSR1);
    must(sigprocmask(SIG_BLOCK, &all, 0));
    kill(0, SIGUSR1);
    kill(getpid(), SIGUSR1);
    sigwaitinfo(&all, &info);
}
