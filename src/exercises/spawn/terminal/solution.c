/* A command at a terminal of its own: openpty(3), setsid(2), TIOCSCTTY, tcsetattr(3).

   cc -Wall terminal.c -o terminal; ./terminal terminal tty < /dev/null | cat */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int master, slave;

/* Leaves with the name of the error, if a call has failed. */
static long ok(long result, const char *call)
{
    if (result == -1) {
        fprintf(stderr, "%s: %s\n", call, strerrorname_np(errno));
        exit(1);
    }
    return result;
}

/* Makes of this process the command; returns only if that fails. */
static void become_the_command(char *words[])
{
    //[
    /* The new session has no terminal; TIOCSCTTY gives it this one. */
    if (setsid() == -1 || ioctl(slave, TIOCSCTTY, 0) == -1)
        return;
    for (int fd = 0; fd < 3; fd++)
        if (dup2(slave, fd) == -1)
            return;
    //]
    execvp(words[0], words);
}

static void write_all(int fd, const char *data, long length)
{
    for (long n; length > 0; data += n, length -= n)
        n = ok(write(fd, data, length), "write");
}

/* What comes from standard input, and then its end. */
static void *type_keys(void *unused)
{
    //[
    char data[1024], last = '\n';
    for (long n; (n = ok(read(0, data, sizeof data), "read")) > 0; last = data[n - 1])
        write_all(master, data, n); /* it has slept until there was something */
    /* Ctrl-D: whoever reads gets what is there. Within a line, that is not the end yet. */
    write_all(master, "\4\4", last == '\n' ? 1 : 2);
    //]
    //| write_all(master, "", 0); /* nothing yet */
    return unused;
}

static void terminal(char *words[])
{
    ok(openpty(&master, &slave, NULL, NULL, NULL), "openpty");
    ok(fcntl(master, F_SETFD, FD_CLOEXEC), "fcntl");
    ok(fcntl(slave, F_SETFD, FD_CLOEXEC), "fcntl");
    //[
    struct termios modes;
    ok(tcgetattr(slave, &modes), "tcgetattr");
    modes.c_oflag &= ~OPOST; /* or a newline comes out as two bytes */
    modes.c_lflag &= ~ECHO;
    ok(tcsetattr(slave, TCSANOW, &modes), "tcsetattr");
    //]
    pid_t child = ok(fork(), "fork"); /* before there is a second thread */
    if (child == 0) {
        become_the_command(words);
        fprintf(stderr, "%s: %s\n", words[0], strerrorname_np(errno));
        _exit(127);
    }
    ok(close(slave), "close"); /* or the terminal is never closed */
    pthread_t thread;
    pthread_create(&thread, NULL, type_keys, NULL);
    //[
    char data[4096];
    for (long n; (n = read(master, data, sizeof data)) > 0;) /* sleeps until something is printed */
        write_all(1, data, n);
    if (errno != EIO) /* EIO: the last process has closed the terminal */
        ok(-1, "read");
    //]
    int status;
    ok(waitpid(child, &status, 0), "waitpid");
    if (status != 0) {
        fprintf(stderr, "%s: status %d\n", words[0], WEXITSTATUS(status));
        exit(1);
    }
    exit(0); /* the other thread may sleep */
}

int main(int argc, char *argv[])
{
    if (argc < 3 || strcmp(argv[1], "terminal") != 0)
        return fprintf(stderr, "usage: terminal COMMAND ARGUMENT...\n"), 2;
    terminal(argv + 2);
}
