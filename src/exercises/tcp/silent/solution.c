/* A question over TCP, and its answer: socket(2), connect(2), send(2), recv(2).
   Wire: the question, which the server knows the end of; then a line, the answer.
   cc -Wall silent.c -o silent; ./silent client 127.0.0.1:7777 1000 <question */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
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

//[
static long long now(void) /* in microseconds */
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

/* The next call of the socket may take what is left until the deadline: then it is EAGAIN, and
   EINPROGRESS of connect. */
static void limit(int sock, long long deadline)
{
    long long left = deadline - now();
    if (left <= 0) {
        fprintf(stderr, "no answer: the time is over\n");
        exit(1);
    }
    struct timeval time = {.tv_sec = left / 1000000, .tv_usec = left % 1000000};
    ok(setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time), "setsockopt");
    ok(setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time), "setsockopt");
}

//]
static void client(struct sockaddr_in address, long milliseconds)
{
    //[
    long long deadline = now() + milliseconds * 1000;
    //]
    //| (void)milliseconds; /* nothing asks how long it takes */
    char *question = NULL, answer[4096];
    size_t room = 0, length = 0;
    long n = getdelim(&question, &room, '\0', stdin), left = n > 0 ? n : 0;
    int sock = ok(socket(AF_INET, SOCK_STREAM, 0), "socket");
    //[
    limit(sock, deadline);
    //]
    ok(connect(sock, &address, sizeof address), "connect"); /* sleeps until the host answers */
    for (char *next = question; left > 0; next += n, left -= n) {
        //[
        limit(sock, deadline);
        //]
        n = ok(send(sock, next, left, MSG_NOSIGNAL), "send"); /* sleeps while the socket is full */
    }
    while (length == 0 || answer[length - 1] != '\n') {
        //[
        limit(sock, deadline);
        //]
        n = ok(recv(sock, answer + length, sizeof answer - length, 0), "recv"); /* sleeps */
        if (n == 0)
            exit((fprintf(stderr, "the server has left\n"), 1));
        length += n;
    }
    ok(close(sock), "close");
    ok(write(1, answer, length), "write");
    free(question);
}

int main(int argc, char *argv[])
{
    char host[16] = "";
    unsigned short port = 0;
    sscanf(argc > 2 ? argv[2] : "", "%15[^:]:%hu", host, &port);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int valid = port > 0 && inet_pton(AF_INET, host, &address.sin_addr) == 1;
    if (valid && argc == 4 && strcmp(argv[1], "client") == 0)
        client(address, atol(argv[3]));
    else
        return fprintf(stderr, "usage: silent client PLACE MILLISECONDS\n"), 2;
}
