/* Who waits for two semaphores of a set is woken by the second change, whichever that is.
   may: semctl -> semtimedop */
#include "fool.h"
int main(void) {
    int set = semget(IPC_PRIVATE, 2, 0600);
    must(set);
    pid_t child = fork();
    if (child == 0) {
        struct sembuf both[2] = {{0, -1, 0}, {1, -1, 0}};
        _exit(semop(set, both, 2) != 0);
    }
    until_asleep(child);
    must(semop(set, &(struct sembuf){0, 1, 0}, 1));
    must(semctl(set, 1, SETVAL, 1));
    wait(0);
    must(semctl(set, 0, IPC_RMID));
}
