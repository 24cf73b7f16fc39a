/* Commands side by side, and a journal: a thread for each, fork(2), execl(3), waitpid(2).

   cc -Wall threads.c -o threads; echo 'sleep 1' | ./threads runner /tmp/journal */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int file, nothing;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for the journal's next line */

struct command {
    char *text;
    pid_t child;
};

/* Leaves with the name of the error, if a call has failed. */
static long ok(long result, const char *call)
{
    if (result == -1) {
        fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno));
        exit(1);
    }
    return result;
}

/* One line of the journal, whole: no other thread writes meanwhile. */
static void note(const char *what, const char *command)
{
    pthread_mutex_lock(&lock);
    ok(dprintf(file, "%s %s\n", what, command), "write"); /* sleeps while PLACE is full */
    pthread_mutex_unlock(&lock);
}

/* The thread of one command. */
static void *end_of(void *argument)
{
    struct command *command = argument;
    char what[32];
    int status;
    ok(waitpid(command->child, &status, 0), "waitpid"); /* sleeps until it has ended */
    if (WIFSIGNALED(status))
        snprintf(what, sizeof what, "signal %d", WTERMSIG(status));
    else
        snprintf(what, sizeof what, "status %d", WEXITSTATUS(status));
    note(what, command->text);
    return NULL;
}

static pid_t start(const char *text)
{
    //[
    note("begins", text); /* here, where the lock's holder is a thread that goes on */
    //]
    pid_t child = ok(fork(), "fork");
    if (child == 0) {
        dup2(nothing, 0);
        //| note("begins", text);
        execl("/bin/sh", "sh", "-c", text, NULL);
        _exit(127);
    }
    return child;
}

static void runner(const char *place)
{
    file = ok(open(place, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600), "open");
    nothing = ok(open("/dev/null", O_RDONLY | O_CLOEXEC), "open");
    pthread_t threads[100];
    int count = 0;
    char *text = NULL;
    size_t room = 0;
    for (long n; count < 100 && (n = getline(&text, &room, stdin)) > 0; count++) {
        struct command *command = malloc(sizeof *command);
        text[n - 1] = '\0'; /* the newline */
        command->text = strdup(text);
        command->child = start(text);
        pthread_create(&threads[count], NULL, end_of, command);
    }
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL); /* sleeps until that command has ended */
}

int main(int argc, char *argv[])
{
    if (argc != 3 || strcmp(argv[1], "runner") != 0)
        return fprintf(stderr, "usage: runner PLACE\n"), 2;
    runner(argv[2]);
}
