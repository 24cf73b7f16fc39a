/*
 * bench.h: what the C references of `ipclab bench` share. It is the loops; the file that includes
 * it is the mechanism, and has these three:
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Opens both directions: `there`, from a to b, and then `back`, which `oneway` has not. */
static void open_ends(void);
/* Sends one message of n bytes; n is 0 for the goodbye of a mechanism without an end of file. */
static void send_message(const unsigned char *message, size_t n);
/* Returns how many bytes came: one message, or a CHUNK of a byte stream; 0 at the end. */
static size_t receive(unsigned char *into);

/*
 * Usage: PROGRAM pingpong|oneway a|b SIZE BASE, with a SOCK_SEQPACKET socket to the bench as
 * descriptor 3. Side a obeys it: `batches MS`, `each MS`, `send MS`, `quit`; side b answers a's
 * messages, or counts them.
 *
 * Exit status: 0 done; 1 failed; 3 the mechanism does not carry messages of SIZE bytes.
 */
#ifndef LEAST
#define LEAST 1				/* bytes of a message; a signal needs none */
#endif
enum { BENCH = 3, CHUNK = 65536, BATCH = 16, MOST_BATCHES = 16384, MOST_EACH = 32768 };

static const char *program, *base;
static char side;			/* 'a' or 'b' */
static int oneway;
static size_t size;			/* SIZE */
static size_t length;			/* the same, but for signal: there a word carries SIZE 0 */

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program, what, strerror(errno));
	exit(1);
}

static long check(long result, const char *what)
{
	if (result == -1)
		die(what);
	return result;
}

__attribute__((unused)) static void at_most(size_t largest)
{
	if (size <= largest)
		return;
	fprintf(stderr, "%s: a message has at most %zu bytes, not %zu\n", program, largest, size);
	exit(3);
}

/* BASE and a suffix: a name in the file system. */
__attribute__((unused)) static const char *named(const char *suffix)
{
	char *path;

	check(asprintf(&path, "%s%s", base, suffix), "asprintf");
	return path;
}

/* Between two tries of a call that fails as long as the other side is not there: up to 5 s. */
__attribute__((unused)) static void wait_for_other(const char *what)
{
	static int tries;

	if ((errno != ENOENT && errno != ECONNREFUSED) || ++tries > 5000)
		die(what);
	usleep(1000);
}

static uint64_t now(void)		/* ns */
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void answer(const void *packet, size_t n)
{
	check(send(BENCH, packet, n, MSG_NOSIGNAL), "send to the bench");
}

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
	char text[200];
	va_list args;

	va_start(args, format);
	int n = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	answer(text, n);
}

/*
 * The payload. A message begins with its number as a little-endian u64, or as much of that as it
 * has room for; byte i after that is i * 7 + 3. One way, the number's top bit marks the last.
 * The sum of its words, the last one padded with zeros, is known beforehand: it is checked.
 */
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the payload's numbers are little-endian"
#endif

static unsigned char *mine, *chunk;	/* what we send, and what came */
static uint64_t sent, heard, bad;	/* messages; they are numbered from 0 each way */
static uint64_t first_sum;			/* the sum of message 0 */
static uint64_t mask, top;		/* the bits of a number, and the one of the last */
static int last;			/* whether the last has come */

/* The sum of n bytes that begin at byte `offset` of a message. */
static inline uint64_t sum(const unsigned char *p, size_t n, size_t offset)
{
	uint64_t word, total = 0;

	for (; offset % 8 && n > 0; n--)
		total += (uint64_t)*p++ << 8 * (offset++ % 8);
	for (size_t i = 0; i < n / 8; i++) {
		memcpy(&word, p + 8 * i, 8);
		total += word;
	}
	p += n / 8 * 8;
	for (size_t i = 0; i < n % 8; i++)
		total += (uint64_t)p[i] << 8 * i;
	return total;
}

static unsigned char *buffer(size_t n)
{
	/* A cache line before it, for what a mechanism puts before a message: sysvmq's type. */
	unsigned char *p = aligned_alloc(64, (n + 64 + 63) / 64 * 64);

	if (p == NULL)
		die("aligned_alloc");
	memset(p, 0, n + 64);
	return p + 64;
}

static void prepare(void)
{
	size_t number = length < 8 ? length : 8;

	mine = buffer(length);
	chunk = buffer(length > CHUNK ? length : CHUNK);
	for (size_t i = 8; i < length; i++)
		mine[i] = i * 7 + 3;
	first_sum = sum(mine, length, 0);
	mask = ~0ull >> (64 - 8 * number);
	top = oneway || size == 0 ? mask - mask / 2 : 0;
	mask -= top;
}

static void send_next(uint64_t mark)
{
	uint64_t number = (sent++ & mask) | mark;

	if (length >= 8)
		memcpy(mine, &number, 8);
	else
		memcpy(mine, &number, length);
	send_message(mine, length);
}

static void judge(uint64_t total, unsigned char highest)
{
	uint64_t number = heard++ & mask;

	last = top && highest & 0x80;
	bad += total != first_sum + (last ? number | top : number);
}

/* Checks what came, in place. */
static void take(const unsigned char *p, size_t n)
{
	size_t high = (length < 8 ? length : 8) - 1;	/* where the number's highest byte is */
#ifdef BYTE_STREAM
	static size_t offset;				/* in the message that is under way */
	static uint64_t total;
	static unsigned char highest;

	while (n > 0) {
		size_t part = n < length - offset ? n : length - offset;

		total += sum(p, part, offset);
		if (offset <= high && high < offset + part)
			highest = p[high - offset];
		offset += part, p += part, n -= part;
		if (offset == length) {
			judge(total, highest);
			offset = total = 0;
		}
	}
#else
	if (n == length)
		judge(sum(p, n, 0), p[high]);
	else
		bad++, heard++;
#endif
}

static void obey(void);

static size_t hear(void)
{
	size_t n = receive(chunk);

	if (n == 0 && side == 'a') {
		fprintf(stderr, "%s: the other side has left\n", program);
		exit(1);
	}
	if (n == 0) {
		obey();				/* nothing but `quit` is left to come */
		exit(0);
	}
	return n;
}

static void hear_one(void)
{
	for (uint64_t before = heard; heard == before;)
		take(chunk, hear());
}

/* Side a: round trips, timed in batches. */
static void ask(uint64_t ms, int batch, int most)
{
	static uint32_t times[MOST_EACH];
	uint64_t t = now(), began = t, then;
	int n = 0;

	do {
		then = t;
		for (int i = 0; i < batch; i++) {
			send_next(0);
			hear_one();
		}
		t = now();
		times[n++] = t - then < UINT32_MAX ? t - then : UINT32_MAX;
	} while (t - began < ms * 1000000 && n < most);
	answer(times, n * sizeof *times);
}

/* Side a: one way, as fast as it goes. */
static void pour(uint64_t ms)
{
	uint64_t often = size >= CHUNK ? 1 : CHUNK / (size > 64 ? size : 64);
	uint64_t began = now(), before = sent;

	do
		for (uint64_t i = 0; i < often; i++)
			send_next(0);
	while (now() - began < ms * 1000000);
	send_next(top);
	tell("%llu %llu", (unsigned long long)(sent - before), (unsigned long long)(now() - began));
}

/* Side b: answers each message. */
static _Noreturn void reply(void)
{
	for (;;) {
		hear_one();
		send_next(0);
	}
}

/* Side b: counts, and tells at each last message. */
static _Noreturn void count(void)
{
	for (;;) {
		uint64_t before = heard, bad_before = bad, bytes = hear(), began = now();

		take(chunk, bytes);
		while (!last) {
			size_t n = hear();

			take(chunk, n);
			bytes += n;
		}
		last = 0;
		tell("%llu %llu %llu %llu", (unsigned long long)(heard - before),
		     (unsigned long long)(size > 0 ? bytes : 0), (unsigned long long)(now() - began),
		     (unsigned long long)(bad - bad_before));
	}
}

static void obey(void)
{
	char command[64], word[16];
	unsigned long ms;

	for (;;) {
		long n = check(recv(BENCH, command, sizeof command - 1, 0), "recv from the bench");
		if (n == 0)			/* the bench has died */
			exit(1);
		command[n] = '\0';
		ms = 0;
		if (sscanf(command, "%15s %lu", word, &ms) < 1)
			word[0] = '\0';
		if (strcmp(word, "batches") == 0) {
			ask(ms, BATCH, MOST_BATCHES);
		} else if (strcmp(word, "each") == 0) {
			ask(ms, 1, MOST_EACH);
		} else if (strcmp(word, "send") == 0) {
			pour(ms);
		} else if (strcmp(word, "quit") == 0) {
			tell("bad %llu", (unsigned long long)bad);
			return;
		} else {
			fprintf(stderr, "%s: no such command: %s\n", program, command);
			exit(1);
		}
	}
}

int main(int argc, char **argv)
{
	program = argv[0];
	if (argc != 5) {
		fprintf(stderr, "usage: %s pingpong|oneway a|b SIZE BASE\n", program);
		return 2;
	}
	oneway = strcmp(argv[1], "oneway") == 0;
	side = argv[2][0];
	size = length = strtoull(argv[3], NULL, 10);
	base = argv[4];
	signal(SIGPIPE, SIG_IGN);		/* EPIPE is told instead */
	if (size < (oneway ? 64 : 1) && (size > 0 || LEAST > 0)) {
		fprintf(stderr, "%s: messages of %zu bytes are too small for %s\n", program, size,
			argv[1]);
		return 3;
	}
	open_ends();
	prepare();
	tell("ready");
	if (side == 'b')
		oneway ? count() : reply();
	obey();
#ifndef BYTE_STREAM
	send_message(mine, 0);			/* goodbye */
#endif
	return 0;
}
