/* unix dgram: two sockets with a name each, connected to each other; each send(2) is a packet. */
#include "bench.h"
#include <sys/un.h>

static int fd;

static struct sockaddr_un address(const char *suffix)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	snprintf(at.sun_path, sizeof at.sun_path, "%s%s", base, suffix);
	return at;
}

static void open_ends(void)
{
	struct sockaddr_un us = address(side == 'a' ? ".a" : ".sock");
	struct sockaddr_un them = address(side == 'a' ? ".sock" : ".a");
	int room;

	fd = check(socket(AF_UNIX, SOCK_DGRAM, 0), "socket");
	check(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &(socklen_t){ sizeof room }),
	      "getsockopt");
	at_most(room - 32);		/* unix_dgram_sendmsg keeps 32 for itself */
	check(bind(fd, (struct sockaddr *)&us, sizeof us), "bind");
	while (connect(fd, (struct sockaddr *)&them, sizeof them) == -1)
		wait_for_other("connect");
	unlink(them.sun_path);		/* only we had to find it */
}

static void send_message(const unsigned char *message, size_t n)
{
	check(send(fd, message, n, 0), "send");
}

static size_t receive(unsigned char *into)
{
	return check(recv(fd, into, length > CHUNK ? length : CHUNK, 0), "recv");
}
