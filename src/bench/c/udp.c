/*
 * udp: the datagrams of the chapter, `NUMBER LENGTH MESSAGE`. a is the client, and connected; b is
 * the server, which has one socket for all. What is lost is not sent again: a ends then, by EAGAIN.
 */
#include "bench.h"
#include <arpa/inet.h>
#include <sys/time.h>

enum { LARGEST = 65490, ROOM = 65536 };

static int fd;
static struct sockaddr_in client;	/* b: who has asked */
static unsigned char *datagram;
static uint32_t number;			/* of the message that is under way */

static void open_ends(void)
{
	const char *colon = strrchr(base, ':');
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_port = htons(colon ? atoi(colon + 1) : 0),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct timeval lost = { .tv_sec = 5 };
	unsigned char greeting;

	at_most(LARGEST);
	if (oneway) {
		fprintf(stderr, "%s: who only sends loses datagrams\n", program);
		exit(3);
	}
	datagram = buffer(ROOM);
	fd = check(socket(AF_INET, SOCK_DGRAM, 0), "socket");
	if (side == 'b') {
		check(bind(fd, (struct sockaddr *)&at, sizeof at), "bind");
		check(recvfrom(fd, &greeting, 1, 0, (struct sockaddr *)&client,
			       &(socklen_t){ sizeof client }), "recvfrom");
		check(sendto(fd, "!", 1, 0, (struct sockaddr *)&client, sizeof client), "sendto");
		return;
	}
	check(connect(fd, (struct sockaddr *)&at, sizeof at), "connect");
	check(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &lost, sizeof lost), "setsockopt");
	/* b may not be there yet: an ICMP message says so. */
	while (send(fd, "!", 1, 0) == -1 || recv(fd, &greeting, 1, 0) == -1)
		wait_for_other("recv");
}

static void send_message(const unsigned char *message, size_t n)
{
	size_t head = 0;

	if (n > 0) {
		number += side == 'a';
		head = sprintf((char *)datagram, "%u %zu ", number, n);
		memcpy(datagram + head, message, n);
	}
	if (side == 'a')
		check(send(fd, datagram, head + n, 0), "send");
	else
		check(sendto(fd, datagram, head + n, 0, (struct sockaddr *)&client, sizeof client),
		      "sendto");
}

/* The digits at *p and the blank behind them, before `end`. */
static uint32_t digits(const unsigned char **p, const unsigned char *end)
{
	uint32_t value = 0;

	while (*p < end && **p >= '0' && **p <= '9')
		value = value * 10 + *(*p)++ - '0';
	*p += *p < end && **p == ' ';
	return value;
}

static size_t receive(unsigned char *into)
{
	for (;;) {
		long n = side == 'a'
			? recv(fd, datagram, ROOM, 0)
			: recvfrom(fd, datagram, ROOM, 0, (struct sockaddr *)&client,
				   &(socklen_t){ sizeof client });
		const unsigned char *p = datagram, *end = datagram + check(n, "recv");

		if (n == 0)
			return 0;
		uint32_t its = digits(&p, end), length = digits(&p, end);

		/* a takes the answer to its last message, and b what is new. */
		if (length != end - p || its != number + (side == 'b'))
			continue;
		number = its;
		memcpy(into, p, length);
		return length;
	}
}
