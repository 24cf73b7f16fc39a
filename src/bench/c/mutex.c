/*
 * mutex: a bounded buffer each way, of 8 slots in shared memory, behind a robust mutex and two
 * condition variables of the C library. A slot is a length in 4 bytes, then the message.
 */
#include "bench.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { SLOTS = 8, LARGEST = 4092 };

struct buffer {
	atomic_uint ready;			/* 1 once all else is there */
	unsigned put, taken, closed;		/* of the process that has the mutex */
	_Alignas(64) pthread_mutex_t mutex;
	_Alignas(64) pthread_cond_t not_empty;
	_Alignas(64) pthread_cond_t not_full;
	struct slot {
		uint32_t length;
		unsigned char message[LARGEST];
	} slots[SLOTS];
};

static struct buffer *in, *out;

/* These functions return the error. */
static void right(int error, const char *what)
{
	errno = error;
	if (error != 0)
		die(what);
}

static void make(struct buffer *buffer)
{
	pthread_mutexattr_t mutex;
	pthread_condattr_t condition;

	right(pthread_mutexattr_init(&mutex), "pthread_mutexattr_init");
	right(pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED), "setpshared");
	right(pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST), "setrobust");
	right(pthread_mutex_init(&buffer->mutex, &mutex), "pthread_mutex_init");
	right(pthread_condattr_init(&condition), "pthread_condattr_init");
	right(pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED), "setpshared");
	right(pthread_cond_init(&buffer->not_empty, &condition), "pthread_cond_init");
	right(pthread_cond_init(&buffer->not_full, &condition), "pthread_cond_init");
	buffer->ready = 1;
}

/* a makes the memory, and b, who finds it, takes the name away: both have it open then. */
static struct buffer *open_buffer(const char *name)
{
	struct stat now = { 0 };
	int fd;

	if (side == 'a') {
		fd = check(shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600), "shm_open");
		check(ftruncate(fd, sizeof(struct buffer)), "ftruncate");
	} else {
		while ((fd = shm_open(name, O_RDWR, 0)) == -1)
			wait_for_other("shm_open");
		while (check(fstat(fd, &now), "fstat") == 0 && now.st_size == 0) {
			errno = ENOENT;
			wait_for_other("fstat");
		}
		check(shm_unlink(name), "shm_unlink");
	}
	struct buffer *buffer = mmap(NULL, sizeof *buffer, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (buffer == MAP_FAILED)
		die("mmap");
	close(fd);
	if (side == 'a')
		make(buffer);
	while (!buffer->ready) {
		errno = ENOENT;
		wait_for_other("the buffer");
	}
	return buffer;
}

static void open_ends(void)
{
	at_most(LARGEST);
	*(side == 'a' ? &out : &in) = open_buffer(strrchr(named("-there"), '/'));
	if (!oneway)
		*(side == 'a' ? &in : &out) = open_buffer(strrchr(named("-back"), '/'));
}

/* EOWNERDEAD: the other was killed with the mutex, and will not come back. */
static void send_message(const unsigned char *message, size_t n)
{
	right(pthread_mutex_lock(&out->mutex), "pthread_mutex_lock");
	while (out->put - out->taken == SLOTS)
		right(pthread_cond_wait(&out->not_full, &out->mutex), "pthread_cond_wait");
	if (n == 0) {
		out->closed = 1;
	} else {
		struct slot *slot = &out->slots[out->put % SLOTS];

		slot->length = n;
		memcpy(slot->message, message, n);
		out->put++;
	}
	right(pthread_mutex_unlock(&out->mutex), "pthread_mutex_unlock");
	right(pthread_cond_signal(&out->not_empty), "pthread_cond_signal");
}

static size_t receive(unsigned char *into)
{
	size_t n = 0;

	right(pthread_mutex_lock(&in->mutex), "pthread_mutex_lock");
	while (in->put == in->taken && !in->closed)
		right(pthread_cond_wait(&in->not_empty, &in->mutex), "pthread_cond_wait");
	if (in->put != in->taken) {
		const struct slot *slot = &in->slots[in->taken % SLOTS];

		n = slot->length < LARGEST ? slot->length : LARGEST;
		memcpy(into, slot->message, n);
		in->taken++;
	}
	right(pthread_mutex_unlock(&in->mutex), "pthread_mutex_unlock");
	right(pthread_cond_signal(&in->not_full), "pthread_cond_signal");
	return n;
}
