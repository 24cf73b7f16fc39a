/* The second of two senders is lost while the first one's signal is pending.
   must: kill #1 -> rt_sigtimedwait #1
   must: kill #3 -> rt_sigtimedwait #2 */
#include "fool.h"
int main(void) {
    sigset_t all;
    siginfo_t info;
    sigemptyset(&all), sigaddset(&all, SIGUSR1);
    must(sigprocmask(SIG_BLOCK, &all, 0));
    pid_t target = getpid();
    kill(target, SIGUSR1);
    if (fork() == 0) kill(target, SIGUSR1), _exit(0);
    wait(0);
    sigwaitinfo(&all, &info);
    if (fork() == 0) kill(target, SIGUSR1), _exit(0);
    wait(0);
    sigwaitinfo(&all, &info);
}
