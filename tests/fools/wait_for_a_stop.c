/* A wait that tells of a stop is not one that tells of the end.
   must: kill #1 -> signal SIGSTOP
   may: kill #2 -> signal SIGCONT
   must: end -> waitid
   must: end -> wait4
   must: kill #3 -> end */
#include "fool.h"
int main(void) {
    siginfo_t info;
    int status;
    pid_t child = fork();
    if (child == 0) for (;;) pause();
    until_asleep(child);
    kill(child, SIGSTOP);
    waitpid(child, &status, WUNTRACED);
    kill(child, SIGCONT);
    waitpid(child, &status, WCONTINUED);
    kill(child, SIGKILL);
    waitid(P_PID, child, &info, WEXITED | WNOWAIT);
    waitpid(child, &status, 0);
}
