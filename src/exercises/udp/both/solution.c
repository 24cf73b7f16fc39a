/* UDP and TCP at one port, in one thread: poll(2), and the calls of programs udp and tcp.
   Wire: what comes is sent back, by the way it came. A signal ends the server.
   cc -Wall both.c -o both; ./both server 127.0.0.1:7778 & echo hi | nc -u -w1 127.0.0.1 7778 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Leaves with the name of the error, if a call has failed. */
static long ok(long result, const char *call)
{
    if (result == -1) {
        fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno));
        exit(1);
    }
    return result;
}

static char data[65536];

/* Sends a datagram back. */
static void answer_datagram(int sock)
{
    struct sockaddr_in client;
    socklen_t length = sizeof client;
    long n = ok(recvfrom(sock, data, sizeof data, 0, (struct sockaddr *)&client, &length),
                "recvfrom");
    ok(sendto(sock, data, n, 0, (struct sockaddr *)&client, length), "sendto");
}

/* Sends back what has come on a connection; 0 at its end. */
static long answer_bytes(int sock)
{
    long n = recv(sock, data, sizeof data, 0);
    for (long sent = 0; sent < n;)
        sent += ok(send(sock, data + sent, n - sent, MSG_NOSIGNAL), "send");
    return n > 0;
}

static void server(struct sockaddr_in address)
{
    struct sockaddr *at = (struct sockaddr *)&address;
    int udp = ok(socket(AF_INET, SOCK_DGRAM, 0), "socket");
    ok(bind(udp, at, sizeof address), "bind"); /* a port of UDP's */
    int listener = ok(socket(AF_INET, SOCK_STREAM, 0), "socket");
    ok(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), "setsockopt");
    ok(bind(listener, at, sizeof address), "bind"); /* a port of TCP's, with the same number */
    ok(listen(listener, 5), "listen");
    //[
    struct pollfd fds[256] = {{.fd = udp, .events = POLLIN}, {.fd = listener, .events = POLLIN}};
    int count = 2;
    //]
    for (;;) {
        //[
        ok(poll(fds, count, -1), "poll"); /* sleeps until a socket is ready */
        for (int i = count - 1; i >= 2; i--) {
            if (fds[i].revents && !answer_bytes(fds[i].fd)) {
                close(fds[i].fd);
                fds[i] = fds[--count];
            }
        }
        if (fds[0].revents)
            answer_datagram(udp);
        if (fds[1].revents && count < 256) {
            int client = ok(accept(listener, NULL, NULL), "accept");
            fds[count++] = (struct pollfd){.fd = client, .events = POLLIN};
        }
        //]
        //| int client = ok(accept(listener, NULL, NULL), "accept"); /* sleeps until one comes */
        //| while (answer_bytes(client))
        //|     ;
        //| close(client);
        //| answer_datagram(udp); /* sleeps until a datagram comes */
    }
}

int main(int argc, char *argv[])
{
    char host[16] = "";
    unsigned short port = 0;
    sscanf(argc > 2 ? argv[2] : "", "%15[^:]:%hu", host, &port);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int valid = port > 0 && inet_pton(AF_INET, host, &address.sin_addr) == 1;
    if (valid && argc == 3 && strcmp(argv[1], "server") == 0)
        server(address);
    else
        return fprintf(stderr, "usage: both server PLACE\n"), 2;
}
