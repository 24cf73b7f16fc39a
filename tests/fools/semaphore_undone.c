/* A semaphore that the end of a process gives back.
   must: end -> semtimedop
   must: write "t" -> read "t" */
#include "fool.h"
int main(void) {
    int set = semget(IPC_PRIVATE, 1, 0600), turn[2];
    must(set);
    must(pipe(turn));
    must(semctl(set, 0, SETVAL, 1));
    pid_t holder = fork();
    if (holder == 0) {
        must(semop(set, &(struct sembuf){0, -1, SEM_UNDO}, 1));
        put(turn[1], "t");
        pause();
    }
    got(turn[0], 1);
    pid_t waiter = fork();
    if (waiter == 0) _exit(semop(set, &(struct sembuf){0, -1, 0}, 1) != 0);
    until_asleep(waiter), until_asleep(holder);
    kill(holder, SIGKILL);
    wait(0), wait(0);
    must(semctl(set, 0, IPC_RMID));
}
/* must: kill -> end */
