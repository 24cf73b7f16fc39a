/*
 * eventfd: two counters, which the bench has made: the one on standard input is read, the one on
 * standard output is written. A message is its number and 1, since 0 wakes nobody. Whoever reads
 * waits in epoll_wait(2), as a program does that waits for something else beside it.
 */
#include "bench.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

static const uint64_t GOODBYE = 1ull << 63;
static int waits;

static void open_ends(void)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (oneway || size != sizeof(uint64_t)) {
		fprintf(stderr, "%s: a message is a number, 8 bytes, and is answered\n", program);
		exit(3);
	}
	waits = check(epoll_create1(0), "epoll_create1");
	check(epoll_ctl(waits, EPOLL_CTL_ADD, 0, &event), "epoll_ctl");
}

static void send_message(const unsigned char *message, size_t n)
{
	uint64_t number = GOODBYE;

	if (n > 0) {
		memcpy(&number, message, sizeof number);
		number++;
	}
	check(write(1, &number, sizeof number), "write");
}

static size_t receive(unsigned char *into)
{
	struct epoll_event event;
	uint64_t number;

	while (epoll_wait(waits, &event, 1, -1) == -1)
		if (errno != EINTR)	/* stopped and continued */
			die("epoll_wait");
	check(read(0, &number, sizeof number), "read");
	if (number == GOODBYE)
		return 0;
	number--;
	memcpy(into, &number, sizeof number);
	return sizeof number;
}
