/*
 * shm: a ring of bytes in shared memory each way. A message is its length in 4 bytes, then its
 * bytes; both may go round the end. Whoever finds nothing to do looks a while and then sleeps on
 * a futex; with -DSPIN it only looks. With -DMMAP the memory is a file's.
 */
#include "bench.h"
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { CAPACITY = 1 << 22, LOOKS = 1000 };

/* What one side writes. It has its cache lines to itself; processors fetch them in pairs. */
struct end {
	_Alignas(128) atomic_ulong index;	/* bytes ever written, or ever read */
	atomic_uint sleeps;			/* 1 while this side sleeps on this word */
	atomic_int cpu;				/* where it last woke the other, from 1 */
};

struct ring {
	struct end sender, receiver;
	_Alignas(128) unsigned char data[CAPACITY];
};

static struct ring *in, *out;
static uint64_t out_head, out_tail;	/* ours; the receiver's, as we last saw it */
static uint64_t in_head, in_tail;	/* the sender's, as we last saw it; ours */

static void pause_a_little(void)
{
#if defined __x86_64__ || defined __i386__
	__builtin_ia32_pause();
#elif defined __aarch64__
	__asm__ volatile("yield");
#endif
}

/* Returns when the other's index is no longer `seen`. */
static uint64_t wait_for_more(struct end *us, struct end *them, uint64_t seen)
{
	__attribute__((unused)) int looks = 0;
	uint64_t index;

	while ((index = atomic_load_explicit(&them->index, memory_order_acquire)) == seen) {
#ifdef SPIN
		(void)us;
		pause_a_little();
#else
		/* While we look on its own CPU, it cannot move. */
		if (them->cpu != sched_getcpu() + 1 && looks++ < LOOKS) {
			pause_a_little();
			continue;
		}
		looks = 0;
		us->sleeps = 1;			/* seq_cst: it is set before we look once more */
		if (atomic_load(&them->index) == seen)
			syscall(SYS_futex, &us->sleeps, FUTEX_WAIT, 1, NULL, NULL, 0);
		us->sleeps = 0;
#endif
	}
	return index;
}

static void publish(struct end *us, struct end *them, uint64_t index, int wake)
{
	atomic_store_explicit(&us->index, index, memory_order_release);
#ifdef SPIN
	(void)them, (void)wake;
#else
	if (!wake)
		return;
	/* It sets its word and then reads our index; we the other way round: one of us sees. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&them->sleeps, memory_order_relaxed)) {
		them->sleeps = 0;
		us->cpu = sched_getcpu() + 1;
		syscall(SYS_futex, &them->sleeps, FUTEX_WAKE, 1, NULL, NULL, 0);
	}
#endif
}

static void put(struct ring *ring, uint64_t index, const void *bytes, size_t n)
{
	size_t at = index % CAPACITY, straight = CAPACITY - at;

	if (n <= straight) {
		memcpy(ring->data + at, bytes, n);
		return;
	}
	memcpy(ring->data + at, bytes, straight);
	memcpy(ring->data, (const char *)bytes + straight, n - straight);
}

static void get(const struct ring *ring, uint64_t index, void *bytes, size_t n)
{
	size_t at = index % CAPACITY, straight = CAPACITY - at;

	if (n <= straight) {
		memcpy(bytes, ring->data + at, n);
		return;
	}
	memcpy(bytes, ring->data + at, straight);
	memcpy((char *)bytes + straight, ring->data, n - straight);
}

static void send_message(const unsigned char *message, size_t n)
{
	uint32_t bytes = n;

	while (CAPACITY - (out_head - out_tail) < sizeof bytes + n)
		out_tail = wait_for_more(&out->sender, &out->receiver, out_tail);
	put(out, out_head, &bytes, sizeof bytes);
	put(out, out_head + sizeof bytes, message, n);
	out_head += sizeof bytes + n;
	publish(&out->sender, &out->receiver, out_head, 1);
}

static size_t receive(unsigned char *into)
{
	uint32_t bytes;

	if (in_head == in_tail)
		in_head = wait_for_more(&in->receiver, &in->sender, in_head);
	get(in, in_tail, &bytes, sizeof bytes);
	if (bytes > in_head - in_tail - sizeof bytes || bytes > (length > CHUNK ? length : CHUNK)) {
		fprintf(stderr, "%s: the ring is corrupt: a message of %u bytes\n", program, bytes);
		exit(1);
	}
	get(in, in_tail + sizeof bytes, into, bytes);
	in_tail += sizeof bytes + bytes;
	/* A sender that sleeps is woken for much room, not for each message. */
	publish(&in->receiver, &in->sender, in_tail, in_head - in_tail <= CAPACITY / 2);
	return bytes;
}

#ifdef MMAP
#define NAME(suffix) named("." suffix)
#define OPEN open
#define UNLINK unlink
#else
#define NAME(suffix) strrchr(named("-" suffix), '/')
#define OPEN shm_open
#define UNLINK shm_unlink
#endif

/* a makes the memory, and b, who finds it, takes the name away: both have it open then. */
static struct ring *open_ring(const char *name)
{
	struct stat now = { 0 };
	int fd;

	if (side == 'a') {
		fd = check(OPEN(name, O_CREAT | O_EXCL | O_RDWR, 0600), "open");
		check(ftruncate(fd, sizeof(struct ring)), "ftruncate");
	} else {
		while ((fd = OPEN(name, O_RDWR, 0)) == -1)
			wait_for_other("open");
		while (check(fstat(fd, &now), "fstat") == 0 && now.st_size == 0) {
			errno = ENOENT;
			wait_for_other("fstat");
		}
		check(UNLINK(name), "unlink");
	}
	void *ring = mmap(NULL, sizeof(struct ring), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED)
		die("mmap");
	close(fd);
	return ring;
}

static void open_ends(void)
{
	at_most(CAPACITY - sizeof(uint32_t));
	*(side == 'a' ? &out : &in) = open_ring(NAME("there"));
	if (!oneway)
		*(side == 'a' ? &in : &out) = open_ring(NAME("back"));
}
