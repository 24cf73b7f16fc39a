#!/usr/bin/env python3
"""A counter in shared memory: shm_open(3), mmap(2).

By ctypes: libc's calls, and atomic operations of libatomic1.
"""
import ctypes
import mmap
import os
import sys
from ctypes import byref

libc, atomic = ctypes.CDLL(None, use_errno=True), ctypes.CDLL("libatomic.so.1")
SEQ_CST = 5


class Words(ctypes.Structure):
    _fields_ = [("count", ctypes.c_uint), ("stop", ctypes.c_uint), ("own", ctypes.c_uint)]


def counter(name):
    memory = libc.shm_open(name.encode(), os.O_RDWR, 0)
    if memory == -1:
        sys.exit(f"shm_open: {os.strerror(ctypes.get_errno())}")
    words = Words.from_buffer(mmap.mmap(memory, 4096))
    own = 0
    while words.stop == 0:
        #[
        atomic.__atomic_fetch_add_4(byref(words), 1, SEQ_CST)  # one operation
        #]
        #| atomic.__atomic_store_4(byref(words), words.count + 1, SEQ_CST)
        own += 1
    words.own = own & 0xFFFFFFFF


match sys.argv[1:]:
    case ["counter", name]:
        counter(name)
    case _:
        print("usage: counter PLACE", file=sys.stderr)
        sys.exit(2)
