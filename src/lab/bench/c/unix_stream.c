/* unix stream: one connection, a byte stream each way. */
#define BYTE_STREAM
#include "bench.h"
#include "meet.h"
#include <sys/un.h>

static int fd;

static void open_ends(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	snprintf(at.sun_path, sizeof at.sun_path, "%s.sock", place);
	fd = meet(SOCK_STREAM, &at, sizeof at);
	if (side == 'b')
		unlink(at.sun_path);
}

static void send_message(const unsigned char *message, size_t n)
{
	while (n > 0) {
		size_t done = check(send(fd, message, n, 0), "send");

		message += done, n -= done;
	}
}

static size_t receive(unsigned char *into)
{
	return check(recv(fd, into, CHUNK, 0), "recv");
}
