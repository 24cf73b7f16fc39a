/* The highest priority first; each from its own.
   must: mq_timedsend "low" -> mq_timedreceive "low"
   must: mq_timedsend "high" -> mq_timedreceive "high" */
#include "fool.h"
int main(void) {
    char name[32];
    snprintf(name, sizeof name, "/fool-%d", getpid());
    struct mq_attr room = {.mq_maxmsg = 4, .mq_msgsize = 16};
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &room);
    must(queue);
    must(mq_send(queue, "low", 3, 1));
    must(mq_send(queue, "high", 4, 9));
    must(mq_receive(queue, buffer, 16, &(unsigned){0}));
    must(mq_receive(queue, buffer, 16, &(unsigned){0}));
    mq_unlink(name);
}
