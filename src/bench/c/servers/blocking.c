// An echo server whose clients are served one by one, by a child each, or by a thread each.
// Usage: blocking iterative|fork|threads; descriptor 0 listens.
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void serve(int client) {
    char message[65536];
    ssize_t n;
    while ((n = recv(client, message, sizeof message, 0)) > 0)
        if (send(client, message, n, MSG_NOSIGNAL) != n)
            break;
    close(client);
}

static void *serve_in_thread(void *client) {
    serve((int)(intptr_t)client);
    return NULL;
}

int main(int argc, char **argv) {
    const char *strategy = argc == 2 ? argv[1] : "";
    signal(SIGCHLD, SIG_IGN); // the kernel reaps the children
    for (;;) {
        int client = accept4(0, NULL, NULL, SOCK_CLOEXEC);
        if (client == -1) {
            perror("accept");
            return 1;
        }
        if (strcmp(strategy, "iterative") == 0) {
            serve(client);
        } else if (strcmp(strategy, "fork") == 0) {
            pid_t child = fork();
            if (child == -1) {
                perror("fork");
                return 1;
            }
            if (child == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                close(0);
                serve(client);
                _exit(0);
            }
            close(client);
        } else if (strcmp(strategy, "threads") == 0) {
            pthread_t thread;
            if (pthread_create(&thread, NULL, serve_in_thread, (void *)(intptr_t)client)) {
                fprintf(stderr, "pthread_create failed\n");
                return 1;
            }
            pthread_detach(thread);
        } else {
            fprintf(stderr, "usage: blocking iterative|fork|threads\n");
            return 2;
        }
    }
}
