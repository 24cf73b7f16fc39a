/* fifo: two pipes with names, mkfifo(3) and open(2); after that, all as with a pipe. */
#define BYTE_STREAM
#include "bench.h"

static int in, out;

/* open waits for the other end, so it returns when both are open: then a takes the name away. */
static int open_fifo(const char *suffix, int flags)
{
	const char *path = named(suffix);

	if (mkfifo(path, 0600) == -1 && errno != EEXIST)
		die("mkfifo");
	int fd = check(open(path, flags), "open");
	if (side == 'a')
		unlink(path);
	return fd;
}

static void open_ends(void)
{
	if (side == 'a')
		out = open_fifo(".there", O_WRONLY);
	else
		in = open_fifo(".there", O_RDONLY);
	if (oneway)
		return;
	if (side == 'a')
		in = open_fifo(".back", O_RDONLY);
	else
		out = open_fifo(".back", O_WRONLY);
}

static void send_message(const unsigned char *message, size_t n)
{
	while (n > 0) {
		size_t done = check(write(out, message, n), "write");

		message += done, n -= done;
	}
}

static size_t receive(unsigned char *into)
{
	return check(read(in, into, CHUNK), "read");
}
