#!/usr/bin/env python3
"""A bounded queue in shared memory: shm_open(3), mmap(2), sem_init(3), sem_wait(3), sem_post(3).

By ctypes: libc's calls.
"""
import ctypes
import mmap
import os
import sys
#[
from ctypes import byref
#]

libc = ctypes.CDLL(None, use_errno=True)

#[

class Place(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint), ("text", ctypes.c_ubyte * 200)]


class Queue(ctypes.Structure):
    # 32 bytes is sizeof(sem_t) of glibc on machines of 64 bits.
    _fields_ = [("items", ctypes.c_longlong * 4), ("room", ctypes.c_longlong * 4),
                ("lock", ctypes.c_longlong * 4), ("put", ctypes.c_uint), ("taken", ctypes.c_uint),
                ("places", Place * 8)]


def wait(semaphore):
    ok(libc.sem_wait(byref(semaphore)), "sem_wait")

#]

def ok(result, call):
    """Leaves with the name of the error, if a call has failed."""
    if result == -1:
        sys.exit(f"{call}: {os.strerror(ctypes.get_errno())}")
    return result


def map_queue(name, flags=0):
    memory = ok(libc.shm_open(name.encode(), os.O_RDWR | flags, 0o600), "shm_open")
    if flags:
        os.ftruncate(memory, 4096)
    #[
    return Queue.from_buffer(mmap.mmap(memory, 4096))
    #]
    #| return mmap.mmap(memory, 4096)


def make(name):
    queue = map_queue(name, os.O_CREAT | os.O_EXCL)
    #[
    ok(libc.sem_init(byref(queue.items), 1, 0), "sem_init")
    ok(libc.sem_init(byref(queue.room), 1, 8), "sem_init")
    ok(libc.sem_init(byref(queue.lock), 1, 1), "sem_init")
    #]
    #| del queue  # what does an empty queue hold?


def put(name, *messages):
    queue = map_queue(name)
    #[
    for message in messages:
        wait(queue.room)  # sleeps while the queue is full
        wait(queue.lock)  # the ring is ours
        place = queue.places[queue.put % 8]
        queue.put += 1
        place.length = len(message)
        place.text[:len(message)] = message.encode()
        ok(libc.sem_post(byref(queue.lock)), "sem_post")
        ok(libc.sem_post(byref(queue.items)), "sem_post")
    #]
    #| sys.exit(f"put {messages} into {queue}: not written yet")


def take(name, count):
    queue = map_queue(name)
    #[
    for _ in range(count):
        wait(queue.items)  # sleeps while the queue is empty
        wait(queue.lock)
        place = queue.places[queue.taken % 8]
        queue.taken += 1
        message = bytes(place.text[:place.length])
        ok(libc.sem_post(byref(queue.lock)), "sem_post")
        ok(libc.sem_post(byref(queue.room)), "sem_post")
        os.write(1, message + b"\n")
    #]
    #| sys.exit(f"take {count} from {queue}: not written yet")


def remove(name):
    ok(libc.shm_unlink(name.encode()), "shm_unlink")


match sys.argv[1:]:
    case ["make", name]:
        make(name)
    case ["put", name, *messages]:
        put(name, *messages)
    case ["take", name, count]:
        take(name, int(count))
    case ["remove", name]:
        remove(name)
    case _:
        print("usage: make PLACE | put PLACE MESSAGE... | take PLACE COUNT | remove PLACE",
              file=sys.stderr)
        sys.exit(2)
