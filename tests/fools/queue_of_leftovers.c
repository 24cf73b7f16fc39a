/* A message that was copied stays; one that was cut is still the same one.
   must: msgsnd "one long" -> msgrcv "one"
   must: msgsnd "two" -> msgrcv "two" */
#include "fool.h"
struct message { long type; char text[16]; };
int main(void) {
    int queue = msgget(IPC_PRIVATE, 0600);
    must(queue);
    struct message m = {1, "one long"};
    must(msgsnd(queue, &m, 8, 0));
    msgrcv(queue, &m, 8, 0, MSG_COPY | IPC_NOWAIT);
    m = (struct message){2, "two"};
    must(msgsnd(queue, &m, 3, 0));
    must(msgrcv(queue, &m, 3, 1, MSG_NOERROR));
    must(msgrcv(queue, &m, 8, -9, 0));
    must(msgctl(queue, IPC_RMID, 0));
}
