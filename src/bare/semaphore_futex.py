#!/usr/bin/env python3
"""A semaphore by hand, bare: shm_open(3), ftruncate(2), mmap(2), futex(2), shm_unlink(3).

Wire: no bytes but a word of shared memory, the value: a post adds 1, a wait takes 1 or sleeps.
Not here: a poster that dies, a name that is left, the largest value. See chapter semaphore.
By ctypes: libc's calls (futex's number is the processor's), and atomic operations of libatomic1.
python3 semaphore_futex.py waiter /s 3 & python3 semaphore_futex.py poster /s 3
"""
import ctypes
import os
import sys
from ctypes import byref
from errno import ENOENT, errorcode

libc, atomic = ctypes.CDLL(None, use_errno=True), ctypes.CDLL("libatomic.so.1")
libc.mmap.restype = ctypes.c_long
load, fetch_add = atomic.__atomic_load_4, atomic.__atomic_fetch_add_4
compare_exchange = atomic.__atomic_compare_exchange_4
load.restype, compare_exchange.restype = ctypes.c_uint, ctypes.c_bool
SYS_FUTEX = {"x86_64": 202, "aarch64": 98}[os.uname().machine]
FUTEX_WAIT, FUTEX_WAKE, SEQ_CST = 0, 1, 5
PROT_READ, PROT_WRITE, MAP_SHARED = 1, 2, 1


def ok(result, call):
    """Leaves with the name of the error, if a call has failed."""
    if result == -1:
        sys.exit(f"{call}: {errorcode[ctypes.get_errno()]}")
    return result


def map_word(name):
    """Either side may be first: a new one has the value 0."""
    memory = ok(libc.shm_open(name.encode(), os.O_RDWR | os.O_CREAT, 0o600), "shm_open")
    os.ftruncate(memory, 4)
    at = libc.mmap(None, 4, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0)
    return ctypes.c_uint.from_address(ok(at, "mmap"))


def futex(word, op, value):
    """No library wraps futex(2). EAGAIN, EINTR: the callers look at the word again."""
    libc.syscall(SYS_FUTEX, byref(word), op, value, None)


def waiter(name, times=1):
    word = map_word(name)
    for number in range(1, times + 1):
        while True:
            old = ctypes.c_uint(load(byref(word), SEQ_CST))
            if old.value == 0:
                futex(word, FUTEX_WAIT, 0)  # sleeps while it is 0
            elif compare_exchange(byref(word), byref(old), old.value - 1, SEQ_CST, SEQ_CST):
                break  # took 1: no other process has changed it since the load
        os.write(1, b"took %d\n" % number)
    if libc.shm_unlink(name.encode()) == -1 and ctypes.get_errno() != ENOENT:
        ok(-1, "shm_unlink")  # ENOENT: the role (ipclab semaphore poster) has removed it


def poster(name, times=1):
    word = map_word(name)
    for _ in range(times):
        fetch_add(byref(word), 1, SEQ_CST)
        futex(word, FUTEX_WAKE, 1)  # wakes a waiter that sleeps


match sys.argv[1:]:
    case ["waiter", name]:
        waiter(name)
    case ["waiter", name, times] if times.isdecimal() and int(times) > 0:
        waiter(name, int(times))
    case ["poster", name]:
        poster(name)
    case ["poster", name, times] if times.isdecimal() and int(times) > 0:
        poster(name, int(times))
    case _:
        print("usage: semaphore_futex.py waiter|poster PLACE [TIMES]", file=sys.stderr)
        sys.exit(2)
