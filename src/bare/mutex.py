#!/usr/bin/env python3
"""A mutex and condition variables, bare: shm_open(3), flock(2), mmap(2), pthread_*(3).

Wire: a header, the locks, 4 counters at 256, 8 slots from 4096 on: a length, then the text.
Not here: a process that is killed, a buffer of another shape. See chapter mutex.
By ctypes: the C library's calls; ctypes cannot ask for sizes, they are those of glibc's headers.
python3 mutex.py worker /b & python3 mutex.py producer /b hello world
"""
import ctypes
import fcntl
import os
import sys
from ctypes import byref, c_uint
from errno import EMSGSIZE, ENOENT, errorcode

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_long
PROT_READ, PROT_WRITE, MAP_SHARED = 1, 2, 1
PTHREAD_PROCESS_SHARED = PTHREAD_MUTEX_ROBUST = 1
SIZES = {"x86_64": (40, 48), "aarch64": (48, 48)}[os.uname().machine]  # of a mutex, of a cond


class Slot(ctypes.Structure):
    _fields_ = [("length", c_uint), ("text", ctypes.c_char * 4092)]


class Buffer(ctypes.Structure):
    """Each lock has a place of 64 bytes: its size differs from one C library to another."""
    _fields_ = [
        ("magic", c_uint), ("version", c_uint), ("slots", c_uint),
        ("mutex_size", c_uint), ("cond_size", c_uint), ("_1", ctypes.c_char * 44),
        ("mutex", ctypes.c_uint64 * 8), ("not_empty", ctypes.c_uint64 * 8),
        ("not_full", ctypes.c_uint64 * 8), ("put", c_uint), ("taken", c_uint),
        ("producers", c_uint), ("closed", c_uint), ("_2", ctypes.c_char * 3824),
        ("slot", Slot * 8),
    ]


def ok(result, call):
    """Leaves with the name of the error, if a call has failed."""
    if result == -1:
        sys.exit(f"{call}: {errorcode[ctypes.get_errno()]}")
    return result


def pthread(call, *arguments):
    """Calls pthread_CALL, which returns the error, and leaves errno alone."""
    if error := getattr(libc, f"pthread_{call}")(*map(byref, arguments)):
        sys.exit(f"pthread_{call}: {errorcode[error]}")


def map_buffer(name):
    """Either may be first: the one that finds no magic makes all else, and then the magic."""
    memory = ok(libc.shm_open(name.encode(), os.O_RDWR | os.O_CREAT, 0o600), "shm_open")
    fcntl.flock(memory, fcntl.LOCK_EX)  # sleeps while another process makes it
    size = ctypes.sizeof(Buffer)
    os.ftruncate(memory, size)
    at = ok(libc.mmap(None, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0), "mmap")
    b = Buffer.from_address(at)
    if b.magic == 0:
        mutex, cond = c_uint(), c_uint()  # 4 bytes each
        pthread("mutexattr_init", mutex)
        libc.pthread_mutexattr_setpshared(byref(mutex), PTHREAD_PROCESS_SHARED)
        libc.pthread_mutexattr_setrobust(byref(mutex), PTHREAD_MUTEX_ROBUST)
        pthread("mutex_init", b.mutex, mutex)
        pthread("condattr_init", cond)
        libc.pthread_condattr_setpshared(byref(cond), PTHREAD_PROCESS_SHARED)
        pthread("cond_init", b.not_empty, cond)
        pthread("cond_init", b.not_full, cond)
        b.version, b.slots, (b.mutex_size, b.cond_size) = 1, 8, SIZES
        b.magic = 0x6D637069  # "ipcm"
    fcntl.flock(memory, fcntl.LOCK_UN)  # os.close is not enough: the map has the file open
    return b


def worker(name):
    b = map_buffer(name)
    while True:
        pthread("mutex_lock", b.mutex)  # sleeps while another process has it
        while b.put == b.taken and not b.closed:
            pthread("cond_wait", b.not_empty, b.mutex)  # sleeps, without the mutex
        if b.put == b.taken:
            break  # the producers have put all, and all is taken
        slot = Slot.from_buffer_copy(b.slot[b.taken % 8])  # a copy: the place is free
        b.taken += 1
        pthread("cond_signal", b.not_full)  # wakes one producer
        pthread("mutex_unlock", b.mutex)
        os.write(1, bytes(slot)[4:4 + min(slot.length, 4092)] + b"\n")
    pthread("mutex_unlock", b.mutex)
    if libc.shm_unlink(name.encode()) == -1 and ctypes.get_errno() != ENOENT:
        ok(-1, "shm_unlink")  # ENOENT: another worker was first


def producer(name, *messages):
    b = map_buffer(name)
    pthread("mutex_lock", b.mutex)  # sleeps while another process has it
    b.producers, b.closed = b.producers + 1, 0
    for text in map(str.encode, messages):
        while (b.put - b.taken) % 2**32 == 8:
            pthread("cond_wait", b.not_full, b.mutex)  # sleeps, without the mutex
        if len(text) > 4092:
            sys.exit(f"message: {errorcode[EMSGSIZE]}")
        slot = b.slot[b.put % 8]
        slot.text, slot.length = text, len(text)
        b.put += 1  # only now: the text is there
        pthread("cond_signal", b.not_empty)  # wakes one worker
    b.producers -= 1
    if b.producers == 0:
        b.closed = 1
        pthread("cond_broadcast", b.not_empty)  # wakes all
    pthread("mutex_unlock", b.mutex)


match sys.argv[1:]:
    case ["worker", name]:
        worker(name)
    case ["producer", name, *messages]:
        producer(name, *messages)
    case _:
        print("usage: mutex.py worker PLACE | producer PLACE MESSAGE...", file=sys.stderr)
        sys.exit(2)
