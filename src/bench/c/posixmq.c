/* posixmq: two queues of 10 messages of up to 8192 bytes, the kernel's defaults. */
#include "bench.h"
#include <mqueue.h>

static mqd_t in, out;

/* a makes the queue, and b, who finds it, takes the name away: both have it open then. */
static mqd_t open_queue(const char *suffix, int flags)
{
	struct mq_attr limits = { .mq_maxmsg = 10, .mq_msgsize = 8192 };
	char name[256];
	mqd_t queue;

	snprintf(name, sizeof name, "%s%s", strrchr(base, '/'), suffix);
	if (side == 'a')
		return check(mq_open(name, flags | O_CREAT | O_EXCL, 0600, &limits), "mq_open");
	while ((queue = mq_open(name, flags)) == -1)
		wait_for_other("mq_open");
	check(mq_unlink(name), "mq_unlink");
	return queue;
}

static void open_ends(void)
{
	at_most(8192);
	if (side == 'a')
		out = open_queue("-there", O_WRONLY);
	else
		in = open_queue("-there", O_RDONLY);
	if (oneway)
		return;
	if (side == 'a')
		in = open_queue("-back", O_RDONLY);
	else
		out = open_queue("-back", O_WRONLY);
}

static void send_message(const unsigned char *message, size_t n)
{
	check(mq_send(out, (const char *)message, n, 0), "mq_send");
}

static size_t receive(unsigned char *into)
{
	return check(mq_receive(in, (char *)into, CHUNK, NULL), "mq_receive");
}
