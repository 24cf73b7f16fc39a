/* What the programs in this directory share. Each does one thing that could fool a tracer.
   Its first comment says which arrows there must be ("must: FROM -> TO"), and which there
   may be ("may: FROM -> TO"); any other is false. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* The program ends with the line in which something went wrong. */
#define must(call) ((call) != -1 ? (void)0 : (perror(#call), exit(1)))
#define put(fd, text) must(write(fd, text, strlen(text)))

static char buffer[4096];
static int got(int fd, int most) { return (int)read(fd, buffer, most); }

/* Waits until a process sleeps in the kernel: 'S' in its stat. */
__attribute__((unused)) static void until_asleep(pid_t pid) {
    char path[64], stat[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    for (;;) {
        int fd = open(path, O_RDONLY);
        must(fd);
        int n = (int)read(fd, stat, sizeof stat - 1);
        close(fd);
        stat[n > 0 ? n : 0] = 0;
        char *state = strrchr(stat, ')');
        if (state && state[2] == 'S') return;
        sched_yield();
    }
}

/* Sends a descriptor over a Unix socket. */
__attribute__((unused)) static void send_descriptor(int over, int fd) {
    char control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec one = {"d", 1};
    struct msghdr m = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = control,
                       .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    must(sendmsg(over, &m, 0));
}

/* Receives one; where there is no room for it, the kernel closes it. */
__attribute__((unused)) static int receive_descriptor(int over, int room) {
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec one = {buffer, 1};
    struct msghdr m = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = control,
                       .msg_controllen = room ? sizeof control : 0};
    must(recvmsg(over, &m, 0));
    int fd = -1;
    if (room) memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
    return fd;
}

/* Two ends of a TCP connection. */
__attribute__((unused)) static void tcp_pair(int ends[2]) {
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t length = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listens = socket(AF_INET, SOCK_STREAM, 0);
    must(bind(listens, (void *)&at, sizeof at));
    must(listen(listens, 1));
    must(getsockname(listens, (void *)&at, &length));
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    must(connect(ends[0], (void *)&at, sizeof at));
    must(ends[1] = accept(listens, 0, 0));
    close(listens);
}
