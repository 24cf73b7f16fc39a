#!/usr/bin/env python3
"""A table in shared memory, made by another program: open(2) of a file in /dev/shm, mmap(2).

python3 show.py show /table
"""
import mmap
import os
import struct
import sys

HEADER = struct.Struct("@4sIII")
#[
ENTRY = struct.Struct("@B3xI")  # as the C compiler pads it
#]
#| ENTRY = struct.Struct("=BI")


def show(name):
    # Where shm_open(3) has its objects.
    memory = os.open("/dev/shm" + name, os.O_RDONLY)
    #[
    length = os.fstat(memory).st_size
    if length < HEADER.size:
        sys.exit(f"{name}: too short for a header")
    #]
    #| length = 0  # all of it
    table = mmap.mmap(memory, length, prot=mmap.PROT_READ)
    magic, version, size, count = HEADER.unpack_from(table)  # what is checked is what is used
    if magic != b"tabl" or version == 0:
        sys.exit(f"{name}: no table")
    #[
    if size < HEADER.size or size > length:
        sys.exit(f"{name}: no such header")
    if count > (length - size) // ENTRY.size:
        sys.exit(f"{name}: too short for its entries")
    #]
    #| size = HEADER.size
    for index in range(count):
        kind, value = ENTRY.unpack_from(table, size + index * ENTRY.size)
        print(kind, value)


match sys.argv[1:]:
    case ["show", name]:
        show(name)
    case _:
        print("usage: show PLACE", file=sys.stderr)
        sys.exit(2)
