/* meet.h: how two sockets meet. b listens at an address, and a connects to it. */
static int meet(int type, const void *address, socklen_t n)
{
	const struct sockaddr *at = address;
	int fd = check(socket(at->sa_family, type, 0), "socket");

	if (side == 'a') {
		while (connect(fd, at, n) == -1)
			wait_for_other("connect");
		return fd;
	}
	int on = 1;
	check(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "setsockopt");
	check(bind(fd, at, n), "bind");
	check(listen(fd, 1), "listen");
	int peer = check(accept(fd, NULL, NULL), "accept");
	close(fd);
	return peer;
}
