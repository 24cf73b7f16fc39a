/* meet.h: how two sockets meet. b listens at an address, and a connects to it. */
static int fd;				/* the connection */

static int meet(int type, const void *address, socklen_t n)
{
	const struct sockaddr *at = address;
	int one = check(socket(at->sa_family, type, 0), "socket");

	if (side == 'a') {
		while (connect(one, at, n) == -1)
			wait_for_other("connect");
		return one;
	}
	int on = 1;
	check(setsockopt(one, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "setsockopt");
	check(bind(one, at, n), "bind");
	check(listen(one, 1), "listen");
	int peer = check(accept(one, NULL, NULL), "accept");
	close(one);
	return peer;
}

#ifdef BYTE_STREAM
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
#endif
