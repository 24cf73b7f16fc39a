#!/usr/bin/env python3
"""A record of a mapped file: open(2), fstat(2), ftruncate(2), mmap(2)."""
import mmap
import os
import sys


def set_record(name, number, text):
    file = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
    at = 64 * number
    #[
    if os.fstat(file).st_size < at + 64:
        os.ftruncate(file, at + 64)  # behind the end there is no memory, but SIGBUS
    memory = mmap.mmap(file, at + 64, mmap.MAP_SHARED)  # the file's pages, and no copy
    #]
    #| os.ftruncate(file, at + 64)
    #| memory = mmap.mmap(file, at + 64, mmap.MAP_PRIVATE)
    memory[at:at + 64] = text.encode().ljust(64, b"\0")


match sys.argv[1:]:
    case ["set", name, number, text] if len(text.encode()) <= 64:
        set_record(name, int(number), text)
    case _:
        print("usage: set PLACE N TEXT", file=sys.stderr)
        sys.exit(2)
