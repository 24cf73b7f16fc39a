// An echo server of many clients in one thread, by epoll(7). Descriptor 0 listens.
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
    static char message[65536];
    struct epoll_event event = {.events = EPOLLIN}, ready[256];
    int set = epoll_create1(EPOLL_CLOEXEC);
    fcntl(0, F_SETFL, O_NONBLOCK);
    epoll_ctl(set, EPOLL_CTL_ADD, 0, &event);
    for (;;) {
        int count = epoll_wait(set, ready, 256, -1);
        if (count == -1) {
            perror("epoll_wait");
            return 1;
        }
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd == 0) {
                int client = accept4(0, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                event.data.fd = client;
                if (client >= 0)
                    epoll_ctl(set, EPOLL_CTL_ADD, client, &event);
                continue;
            }
            ssize_t n = recv(fd, message, sizeof message, 0);
            if (n <= 0 || send(fd, message, n, MSG_NOSIGNAL) != n)
                close(fd);
        }
    }
}
