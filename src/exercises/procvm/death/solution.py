#!/usr/bin/env python3
"""Another process's memory, bare: process_vm_readv(2), process_vm_writev(2), pidfd_getfd(2).

Wire: PLACE holds the target's pid, start (0: not told), the address of a table, 2 eventfds.
The table: a message's number, address (0: the end), length; number taken; reader's start, pid.
Not here: a process that dies, a pid that is another's by now, half a copy. See chapter procvm.
python3 procvm.py target /tmp/v hello & sleep 1; python3 procvm.py reader /tmp/v
ctypes: Python's library has none of the three calls.
"""
import ctypes
import os
import select
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
PR_SET_PTRACER, SYS_pidfd_getfd = 0x59616D61, 438


def ok(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def target(name, messages):
    table = (ctypes.c_uint64 * 6)()
    offered, taken = os.eventfd(0), os.eventfd(0)
    # any process of ours may read us; EINVAL without Yama
    libc.prctl(PR_SET_PTRACER, ctypes.c_long(-1))
    place = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(place, b"%d 0 %x %d %d\n" % (os.getpid(), ctypes.addressof(table), offered, taken))
    for text in [*messages, None]:
        if text is not None:
            buffer = ctypes.create_string_buffer(text)  # bytes whose address does not change
        table[1] = 0 if text is None else ctypes.addressof(buffer)
        table[2] = len(text or b"")
        table[0] += 1  # only now: the others belong to it
        os.eventfd_write(offered, 1)  # wakes the reader
        while table[3] != table[0]:
            os.eventfd_read(taken)  # sleeps until the reader has taken it: the bytes are still ours
    os.unlink(name)


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def copy(call, pid, ours, address):
    here, there = Iovec(ctypes.addressof(ours), len(ours)), Iovec(address, len(ours))
    return ok(call(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, ctypes.c_ulong(0)))


def reader(name):
    words = os.read(os.open(name, os.O_RDONLY), 128).split()  # ENOENT: no target yet
    pid, at, offered, taken = int(words[0]), int(words[2], 16), int(words[3]), int(words[4])
    process = os.pidfd_open(pid)
    # EPERM, unless we may trace the target
    offered = ok(libc.syscall(SYS_pidfd_getfd, process, offered, 0))
    taken = ok(libc.syscall(SYS_pidfd_getfd, process, taken, 0))
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.register(offered, select.POLLIN)
    while True:
        table = ctypes.create_string_buffer(32)
        copy(libc.process_vm_readv, pid, table, at)
        number, address, length, last = struct.unpack("4Q", table)
        if number == last:
            ready = dict(poll.poll())  # sleeps until the target offers the next one, or ends
            if process in ready:
                sys.exit("the target has ended before it said so")
            os.eventfd_read(offered)
            continue
        if address:
            text = (ctypes.c_char * length)()
            copy(libc.process_vm_readv, pid, text, address)  # into our memory: one copy
            os.write(1, bytes(text) + b"\n")
        ours = ctypes.create_string_buffer(struct.pack("3Q", number, 0, os.getpid()), 24)
        copy(libc.process_vm_writev, pid, ours, at + 24)
        os.eventfd_write(taken, 1)  # wakes the target
        if not address:
            return


match sys.argv[1:]:
    case ["target", name, *messages]:
        target(name, [os.fsencode(message) for message in messages])
    case ["reader", name]:
        reader(name)
    case _:
        print("usage: procvm.py target PLACE MESSAGE... | reader PLACE", file=sys.stderr)
        sys.exit(2)
