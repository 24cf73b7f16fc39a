/* So does one that is killed.
   must: end -> read ""
   must: kill -> end */
#include "fool.h"
int main(void) {
    int p[2];
    must(pipe(p));
    pid_t child = fork();
    if (child == 0) pause(), _exit(0);
    close(p[1]);
    until_asleep(child);
    kill(child, SIGKILL);
    got(p[0], 64);
    wait(0);
}
