/*
 * signal: queued real-time signals, rt_sigqueueinfo(2) and sigwaitinfo(2), whose value is a word
 * of 4 bytes. A message is its length and then its words. SIZE 0 is a bare signal: its value is the
 * message's number.
 */
#define LEAST 0
#include "bench.h"
#include <sys/syscall.h>

enum { LARGEST = 65536, WINDOW = 64, GOODBYE = -1 };

static pid_t other;
static sigset_t words, credits;
static unsigned queued, taken;		/* words */

/* sigqueue(3), but for its getpid(2) and getuid(2) each time. */
static void queue(int signal, int value)
{
	static siginfo_t info = { .si_code = SI_QUEUE };

	if (info.si_pid == 0)
		info.si_pid = getpid(), info.si_uid = getuid();
	info.si_value.sival_int = value;
	check(syscall(SYS_rt_sigqueueinfo, other, signal, &info), "rt_sigqueueinfo");
}

static int wait_for(const sigset_t *set)
{
	siginfo_t info;

	while (sigwaitinfo(set, &info) == -1)
		if (errno != EINTR)	/* stopped and continued */
			die("sigwaitinfo");
	return info.si_value.sival_int;
}

/* A queue of signals has no end but RLIMIT_SIGPENDING, where that call fails. So no more than
 * WINDOW words are under way, as in the chapter: a credit comes for each WINDOW that was taken. */
static void send_word(int value)
{
	if (queued > 0 && queued % WINDOW == 0)
		wait_for(&credits);
	queued++;
	queue(SIGRTMIN, value);
}

static int take_word(void)
{
	int value = wait_for(&words);

	if (++taken % WINDOW == 0)
		queue(SIGRTMIN + 1, 0);
	return value;
}

/* Each side blocks the signals, or they would kill it, and only then tells its process id. */
static void open_ends(void)
{
	const char *us = named(side == 'a' ? ".a" : ".b");
	const char *them = named(side == 'a' ? ".b" : ".a");
	const char *draft = named(side == 'a' ? ".a.new" : ".b.new");
	sigset_t both;
	FILE *file;

	at_most(LARGEST);
	if (size == 0)
		length = sizeof(int);
	sigemptyset(&words), sigaddset(&words, SIGRTMIN);
	sigemptyset(&credits), sigaddset(&credits, SIGRTMIN + 1);
	sigorset(&both, &words, &credits);
	check(sigprocmask(SIG_BLOCK, &both, NULL), "sigprocmask");
	if ((file = fopen(draft, "w")) == NULL)
		die("fopen");
	fprintf(file, "%d", getpid());
	fclose(file);
	check(rename(draft, us), "rename");
	while ((file = fopen(them, "r")) == NULL)
		wait_for_other("fopen");
	if (fscanf(file, "%d", &other) != 1)
		die("fscanf");
	fclose(file);
	unlink(them);			/* only we had to find it */
}

static void send_message(const unsigned char *message, size_t n)
{
	int value;

	if (n == 0) {
		send_word(GOODBYE);
		return;
	}
	if (size > 0)
		send_word(n);
	for (size_t i = 0; i < n; i += 4) {
		memcpy(&value, message + i, 4);	/* the buffer goes on for a cache line */
		send_word(value);
	}
}

static size_t receive(unsigned char *into)
{
	int value = take_word(), n = value;

	if (value == GOODBYE)
		return 0;
	if (size == 0) {
		memcpy(into, &value, 4);
		return 4;
	}
	if (n < 0 || n > LARGEST)
		return 1;		/* no length: a wrong message */
	for (int i = 0; i < n; i += 4) {
		value = take_word();
		memcpy(into + i, &value, 4);
	}
	return n;
}
