/* Another process has fetched a write end without being sent it.
   must: end -> read "" */
#include "fool.h"
int main(void) {
    int p[2], turn[2];
    must(pipe(turn));
    must(pipe(p));
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        close(p[1]), close(p[0]);
        int pidfd = (int)syscall(SYS_pidfd_open, parent, 0);
        must(pidfd);
        must(syscall(SYS_pidfd_getfd, pidfd, p[1], 0));
        close(pidfd);
        put(turn[1], "t");
        pause();
    }
    got(turn[0], 1);
    close(p[1]);
    must(fcntl(p[0], F_SETFL, O_NONBLOCK));
    got(p[0], 64);
    until_asleep(child);
    kill(child, SIGKILL);
    wait(0);
    got(p[0], 64);
}
/* must: write "t" -> read "t"
   must: kill -> end */
