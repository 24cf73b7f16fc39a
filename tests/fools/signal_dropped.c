/* What was pending is dropped when the signal is ignored; the next one is another.
   must: kill #2 -> signal SIGUSR1 */
#include "fool.h"
static void nothing(int number) { (void)number; }
int main(void) {
    sigset_t all;
    sigemptyset(&all), sigaddset(&all, SIGUSR1);
    must(sigprocmask(SIG_BLOCK, &all, 0));
    kill(getpid(), SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR1, nothing);
    kill(getpid(), SIGUSR1);
    must(sigprocmask(SIG_UNBLOCK, &all, 0));
}
