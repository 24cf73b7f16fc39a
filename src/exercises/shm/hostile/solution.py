#!/usr/bin/env python3
"""Shared memory that another process may fill with anything: shm_open(3), ftruncate(2), mmap(2), futex(2), shm_unlink(3).

Wire: one slot: a length (0: no line; 0xffffffff: the end), a line. The role's ring is another.
By ctypes: libc's calls (futex's number is the processor's), and atomic operations of libatomic1.
python3 shm.py receiver /m & python3 shm.py sender /m hello world
"""
import ctypes
import os
import sys
from ctypes import byref
from errno import EMSGSIZE, errorcode

libc, atomic = ctypes.CDLL(None, use_errno=True), ctypes.CDLL("libatomic.so.1")
load, store = atomic.__atomic_load_4, atomic.__atomic_store_4
libc.mmap.restype, load.restype = ctypes.c_long, ctypes.c_uint
SYS_FUTEX = {"x86_64": 202, "aarch64": 98}[os.uname().machine]
PROT_READ, PROT_WRITE, MAP_SHARED, FUTEX_WAIT, FUTEX_WAKE, SEQ_CST = 1, 2, 1, 0, 1, 5


class Slot(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint), ("line", ctypes.c_ubyte * 4092)]


def ok(result, call):
    """Leaves with the name of the error, if a call has failed."""
    if result == -1:
        sys.exit(f"{call}: {errorcode[ctypes.get_errno()]}")
    return result


def map_slot(name):
    """Either side may be first: what ftruncate(2) adds is 0."""
    memory = ok(libc.shm_open(name.encode(), os.O_RDWR | os.O_CREAT, 0o600), "shm_open")
    os.ftruncate(memory, 4096)
    slot = libc.mmap(None, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0)
    return Slot.from_address(ok(slot, "mmap"))


def futex(slot, op, value):
    """No library wraps futex(2). EAGAIN, EINTR: the callers look at the word again."""
    libc.syscall(SYS_FUTEX, byref(slot), op, value, None)


def receiver(name):
    slot = map_slot(name)
    while (length := load(byref(slot), SEQ_CST)) != 0xFFFFFFFF:
        if length == 0:
            futex(slot, FUTEX_WAIT, 0)  # sleeps while it is 0
        elif length > 4092:  # loaded once: this is the number used below
            libc.shm_unlink(name.encode())
            sys.exit(f"{name}: no line has {length} bytes")
        else:
            os.write(1, bytes(slot.line[:length]))
            store(byref(slot), 0, SEQ_CST)
            futex(slot, FUTEX_WAKE, 1)  # the sender may store the next line
    ok(libc.shm_unlink(name.encode()), "shm_unlink")  # the sender has sent all


def sender(name, *messages):
    slot = map_slot(name)
    for line in [message.encode() + b"\n" for message in messages]:
        if len(line) > 4092:
            sys.exit(f"message: {errorcode[EMSGSIZE]}")
        slot.line[:len(line)] = line
        store(byref(slot), len(line), SEQ_CST)  # only now: the receiver waits for a length
        futex(slot, FUTEX_WAKE, 1)
        while (now := load(byref(slot), SEQ_CST)) == len(line):
            futex(slot, FUTEX_WAIT, len(line))  # sleeps until it differs
        if now != 0:
            sys.exit(f"{name}: the length became {now}")
    store(byref(slot), 0xFFFFFFFF, SEQ_CST)
    futex(slot, FUTEX_WAKE, 1)


match sys.argv[1:]:
    case ["receiver", name]:
        receiver(name)
    case ["sender", name, *messages]:
        sender(name, *messages)
    case _:
        print("usage: shm.py receiver PLACE | sender PLACE MESSAGE...", file=sys.stderr)
        sys.exit(2)
