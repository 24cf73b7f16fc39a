/* A write end goes to another process, which closes it last.
   must: sendmsg "d" -> recvmsg "d"
   must: write "late" -> read "late"
   must: end -> read "" */
#include "fool.h"
int main(void) {
    int p[2], s[2];
    must(pipe(p));
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    pid_t child = fork();
    if (child == 0) {
        close(p[1]), close(s[0]);
        put(receive_descriptor(s[1], 1), "late");
        _exit(0);
    }
    close(s[1]);
    send_descriptor(s[0], p[1]);
    close(p[1]);
    while (got(p[0], 64) > 0) {}
    wait(0);
}
