// An echo server of many clients in one thread, by poll(2). Descriptor 0 listens.
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 20000

int main(void) {
    static char message[65536];
    static struct pollfd all[MOST];
    nfds_t count = 1;
    fcntl(0, F_SETFL, O_NONBLOCK);
    all[0].events = POLLIN; // of descriptor 0
    for (;;) {
        int left = poll(all, count, -1);
        if (left == -1) {
            perror("poll");
            return 1;
        }
        // From the last on, since the last takes the place of one that leaves.
        for (nfds_t index = count; index-- > 0 && left > 0;) {
            if (!all[index].revents)
                continue;
            left--;
            if (index == 0) {
                int client = accept4(0, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (client >= 0 && count == MOST)
                    close(client);
                else if (client >= 0)
                    all[count++] = (struct pollfd){.fd = client, .events = POLLIN};
                continue;
            }
            int fd = all[index].fd;
            ssize_t n = recv(fd, message, sizeof message, 0);
            if (n <= 0 || send(fd, message, n, MSG_NOSIGNAL) != n) {
                close(fd);
                all[index] = all[--count];
            }
        }
    }
}
