#!/usr/bin/env python3
"""Memory that is made once: open(2) of a file in /dev/shm, flock(2), ftruncate(2), mmap(2).

python3 join.py join /one 7
"""
#[
import fcntl
import mmap
#]
import os
#[
import struct
#]
import sys


def join(name, number):
    # Where shm_open(3) has its objects.
    memory = os.open("/dev/shm" + name, os.O_RDWR | os.O_CREAT, 0o600)
    #[
    fcntl.flock(memory, fcntl.LOCK_EX)  # sleeps while another process makes it; ends with it
    os.ftruncate(memory, 8)  # what it adds is 0
    shared = mmap.mmap(memory, 8)
    made = shared[:4] != b"redy"
    if made:
        shared[4:] = struct.pack("=I", number)
        shared[:4] = b"redy"  # last
    fcntl.flock(memory, fcntl.LOCK_UN)
    found = struct.unpack("=I", shared[4:])[0]
    os.write(1, b"%s %d\n" % (b"made" if made else b"found", found))
    #]
    #| # Here is your part.
    #| os.close(memory)


match sys.argv[1:]:
    case ["join", name, number] if number.isdecimal():
        join(name, int(number))
    case _:
        print("usage: join PLACE NUMBER", file=sys.stderr)
        sys.exit(2)
