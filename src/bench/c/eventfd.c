/*
 * eventfd: two counters, which the bench has made: the one on standard input is read, the one on
 * standard output is written. A message is its number and 1, since 0 wakes nobody. An eventfd has
 * no end: a connection, descriptor 4, tells that the other side has left. Whoever writes looks at
 * it before; whoever reads waits for both in epoll_wait(2), and then does not sleep in the read.
 */
#include "bench.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

enum { COUNTER = 0, CONNECTION = 4 };
static int waits;

static void watch(int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	check(epoll_ctl(waits, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

static void open_ends(void)
{
	if (oneway || size != sizeof(uint64_t)) {
		fprintf(stderr, "%s: a message is a number, 8 bytes, and is answered\n", program);
		exit(3);
	}
	waits = check(epoll_create1(0), "epoll_create1");
	watch(COUNTER, EPOLLIN);
	watch(CONNECTION, EPOLLRDHUP);
}

static void send_message(const unsigned char *message, size_t n)
{
	struct pollfd connection = { .fd = CONNECTION, .events = POLLRDHUP };
	uint64_t number;

	if (n == 0) {
		check(shutdown(CONNECTION, SHUT_WR), "shutdown");
		return;
	}
	if (check(poll(&connection, 1, 0), "poll") > 0) {
		errno = EPIPE;
		die("the connection");
	}
	memcpy(&number, message, sizeof number);
	number++;
	check(write(1, &number, sizeof number), "write");
}

static size_t receive(unsigned char *into)
{
	struct epoll_event events[2];
	uint64_t number;
	struct iovec room = { &number, sizeof number };
	int n, counted = 0;

	while ((n = epoll_wait(waits, events, 2, -1)) == -1)
		if (errno != EINTR)	/* stopped and continued */
			die("epoll_wait");
	for (int i = 0; i < n; i++)
		counted |= events[i].data.fd == COUNTER;
	if (!counted)
		return 0;
	check(preadv2(COUNTER, &room, 1, -1, RWF_NOWAIT), "preadv2");
	number--;
	memcpy(into, &number, sizeof number);
	return sizeof number;
}
