/* pipe: write(2) and read(2); the bench has made both pipes, and b's ends are crossed. */
#define BYTE_STREAM
#include "bench.h"

static void open_ends(void)
{
}

static void send_message(const unsigned char *message, size_t n)
{
	while (n > 0) {
		size_t done = check(write(1, message, n), "write");

		message += done, n -= done;
	}
}

static size_t receive(unsigned char *into)
{
	return check(read(0, into, CHUNK), "read");
}
