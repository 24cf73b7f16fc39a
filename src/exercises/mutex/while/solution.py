#!/usr/bin/env python3
"""A worker that waits for a condition: shm_open(3), mmap(2), pthread_cond_wait(3), by ctypes.

python3 worker.py worker /items
"""
import ctypes
import os
import sys
from ctypes import byref, c_uint
from errno import errorcode

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_long
PROT_READ, PROT_WRITE, MAP_SHARED = 1, 2, 1


class Shared(ctypes.Structure):
    _fields_ = [("mutex", ctypes.c_uint64 * 8), ("changed", ctypes.c_uint64 * 8),
                ("items", c_uint), ("taken", c_uint), ("closed", c_uint)]


def pthread(call, *arguments):
    """Calls pthread_CALL, which returns the error, and leaves errno alone."""
    if error := getattr(libc, f"pthread_{call}")(*map(byref, arguments)):
        sys.exit(f"pthread_{call}: {errorcode[error]}")


def worker(name):
    memory = libc.shm_open(name.encode(), os.O_RDWR, 0)
    at = libc.mmap(None, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0)
    if at == -1:
        sys.exit(f"{name}: {errorcode[ctypes.get_errno()]}")
    s = Shared.from_address(at)
    while True:
        pthread("mutex_lock", s.mutex)  # sleeps while another process has it
        #[
        while s.items == 0 and not s.closed:
            pthread("cond_wait", s.changed, s.mutex)  # sleeps; then it looks again
        if s.items == 0:
            break
        #]
        #| if s.items == 0 and not s.closed:
        #|     pthread("cond_wait", s.changed, s.mutex)  # sleeps
        #| if s.items == 0 and s.closed:
        #|     break
        s.items -= 1
        s.taken += 1
        pthread("mutex_unlock", s.mutex)
        os.write(1, b"took one\n")
    pthread("mutex_unlock", s.mutex)


match sys.argv[1:]:
    case ["worker", name]:
        worker(name)
    case _:
        print("usage: worker PLACE", file=sys.stderr)
        sys.exit(2)
