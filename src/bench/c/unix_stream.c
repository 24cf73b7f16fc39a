/* unix stream: one connection, a byte stream each way. */
#define BYTE_STREAM
#include "bench.h"
#include "meet.h"
#include <sys/un.h>

static void open_ends(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	snprintf(at.sun_path, sizeof at.sun_path, "%s.sock", base);
	fd = meet(SOCK_STREAM, &at, sizeof at);
	if (side == 'b')
		unlink(at.sun_path);
}
