/* sysvmq: two System V queues. No end of file tells of the other side, and no name can be taken
 * away while they are used: a removes them when it ends. */
#include "bench.h"
#include <sys/ipc.h>
#include <sys/msg.h>

static int in = -1, out = -1;

static int open_queue(const char *suffix)
{
	key_t key = check(ftok(named(suffix), 'i'), "ftok");
	int id;

	if (side == 'a')
		return check(msgget(key, IPC_CREAT | IPC_EXCL | 0600), "msgget");
	while ((id = msgget(key, 0)) == -1)
		wait_for_other("msgget");
	return id;
}

static void remove_queues(void)
{
	if (in != -1)
		msgctl(in, IPC_RMID, NULL);
	if (out != -1)
		msgctl(out, IPC_RMID, NULL);
}

static void open_ends(void)
{
	int *there = side == 'a' ? &out : &in, *back = side == 'a' ? &in : &out;
	struct msginfo limits;

	check(msgctl(0, IPC_INFO, (struct msqid_ds *)&limits), "msgctl");
	at_most(limits.msgmax);
	if (side == 'a')
		atexit(remove_queues);
	*there = open_queue(".there");
	if (!oneway)
		*back = open_queue(".back");
}

/* A message's type, a long that is not 0, stands before its bytes: bench.h leaves room for it. */
static void send_message(const unsigned char *message, size_t n)
{
	long *type = (long *)message - 1;

	*type = 1;
	check(msgsnd(out, type, n, 0), "msgsnd");
}

static size_t receive(unsigned char *into)
{
	ssize_t n = msgrcv(in, (long *)into - 1, CHUNK, 0, 0);

	/* a has removed the queue: while we slept, or before we came. */
	if (n == -1 && (errno == EIDRM || errno == EINVAL))
		return 0;
	return check(n, "msgrcv");
}
