/* A FIFO loses its unread bytes with its last end.
   must: write "first, long" -> read "first"
   must: write "second" -> read "second" */
#include "fool.h"
int main(void) {
    must(mkfifo("lost.fifo", 0600));
    for (int round = 0; round < 2; round++) {
        int in = open("lost.fifo", O_RDONLY | O_NONBLOCK);
        int out = open("lost.fifo", O_WRONLY);
        put(out, round == 0 ? "first, long" : "second");
        got(in, round == 0 ? 5 : 64);
        close(in), close(out);
    }
    unlink("lost.fifo");
}
