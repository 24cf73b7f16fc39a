/* Lines over TCP: socket(2), bind(2), listen(2), accept(2), recv(2), send(2).
   Wire: a line, and a line back with its length. shutdown(2) is the end.
   cc -Wall lines.c -o lines; ./lines server 127.0.0.1:7777 & sleep 1; ncat 127.0.0.1 7777 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
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

static void server(struct sockaddr_in address)
{
    int listener = ok(socket(AF_INET, SOCK_STREAM, 0), "socket");
    /* SO_REUSEADDR: or bind fails while a connection of an earlier server is in TIME_WAIT. */
    ok(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), "setsockopt");
    ok(bind(listener, &address, sizeof address), "bind");
    ok(listen(listener, 5), "listen"); /* from now on the kernel connects clients */
    int client = ok(accept(listener, NULL, NULL), "accept"); /* sleeps until a client comes */
    //[
    char data[4096];
    long n, length = 0; /* of the line so far: recv knows nothing of lines */
    while ((n = ok(recv(client, data, sizeof data, 0), "recv")) > 0) /* sleeps until data comes */
        for (char *byte = data; byte < data + n; byte++)
            if (*byte == '\n') {
                ok(dprintf(client, "%ld\n", length), "write"); /* sleeps while it is full */
                length = 0;
            } else {
                length++;
            }
    //]
    //| /* For each line, send its length and a newline. */
    ok(close(client), "close"); /* the client's recv returns 0 */
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
        return fprintf(stderr, "usage: lines server PLACE\n"), 2;
}
