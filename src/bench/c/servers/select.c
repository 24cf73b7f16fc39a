// An echo server of many clients in one thread, by select(2). Descriptor 0 listens.
#include <fcntl.h>
#include <stdio.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
    static char message[65536];
    fd_set all, ready;
    int most = 0;
    fcntl(0, F_SETFL, O_NONBLOCK);
    FD_ZERO(&all);
    FD_SET(0, &all);
    for (;;) {
        ready = all;
        int left = select(most + 1, &ready, NULL, NULL, NULL);
        if (left == -1) {
            perror("select");
            return 1;
        }
        for (int fd = 0; fd <= most && left > 0; fd++) {
            if (!FD_ISSET(fd, &ready))
                continue;
            left--;
            if (fd == 0) {
                int client = accept4(0, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (client >= FD_SETSIZE) {
                    close(client);
                } else if (client >= 0) {
                    FD_SET(client, &all);
                    if (client > most)
                        most = client;
                }
                continue;
            }
            ssize_t n = recv(fd, message, sizeof message, 0);
            if (n <= 0 || send(fd, message, n, MSG_NOSIGNAL) != n) {
                FD_CLR(fd, &all);
                close(fd);
            }
        }
    }
}
