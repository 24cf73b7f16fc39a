/* tcp: one connection over the loopback, each small segment sent at once (TCP_NODELAY). */
#define BYTE_STREAM
#include "bench.h"
#include "meet.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>

static void open_ends(void)
{
	const char *colon = strrchr(base, ':');
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_port = htons(colon ? atoi(colon + 1) : 0),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int on = 1;

	fd = meet(SOCK_STREAM, &at, sizeof at);
	check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "setsockopt");
}
