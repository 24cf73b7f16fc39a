#!/usr/bin/env python3
"""A number in shared memory, whose object may be replaced: open(2), fstat(2), mmap(2).

python3 look.py look /number
"""
import mmap
import os
import struct
import sys


def number(memory):
    with mmap.mmap(memory, 4) as shared:
        return struct.unpack("=I", shared[:4])[0]


#[
def now(name):
    try:
        # Where shm_open(3) has its objects.
        memory = os.open("/dev/shm" + name, os.O_RDWR)
    except FileNotFoundError:
        return "none"
    try:
        return "none" if os.fstat(memory).st_size < 4 else number(memory)
    finally:
        os.close(memory)


#]
def look(name):
    #| # Where shm_open(3) has its objects.
    #| memory = os.open("/dev/shm" + name, os.O_RDWR)
    for _ in sys.stdin:  # sleeps until a question comes
        #[
        print(now(name), flush=True)
        #]
        #| print(number(memory), flush=True)


match sys.argv[1:]:
    case ["look", name]:
        look(name)
    case _:
        print("usage: look PLACE", file=sys.stderr)
        sys.exit(2)
