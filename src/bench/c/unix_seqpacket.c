/* unix seqpacket: one connection, and each send(2) is one packet. */
#include "bench.h"
#include "meet.h"
#include <sys/un.h>

static void open_ends(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int room;

	snprintf(at.sun_path, sizeof at.sun_path, "%s.sock", base);
	fd = meet(SOCK_SEQPACKET, &at, sizeof at);
	if (side == 'b')
		unlink(at.sun_path);
	check(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &(socklen_t){ sizeof room }),
	      "getsockopt");
	at_most(room - 32);		/* unix_dgram_sendmsg keeps 32 for itself */
}

static void send_message(const unsigned char *message, size_t n)
{
	check(send(fd, message, n, 0), "send");
}

static size_t receive(unsigned char *into)
{
	return check(recv(fd, into, length > CHUNK ? length : CHUNK, 0), "recv");
}
