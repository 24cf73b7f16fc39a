#!/usr/bin/env python3
"""Parts of a mapped file: open(2), fstat(2), mmap(2)."""
#[
import mmap
import os
#]
import sys


def extract(name):
    #[
    file = os.open(name, os.O_RDONLY)
    for line in sys.stdin:  # sleeps until a request comes
        offset, length = map(int, line.split())
        size = os.fstat(file).st_size
        if offset + length > size:
            sys.exit(f"{name} has {size} bytes: {offset} and {length} more are not there")
        memory = mmap.mmap(file, size, prot=mmap.PROT_READ)
        os.write(1, memory[offset:offset + length])
    #]
    #| # Map the file `name`. For each line "OFFSET LENGTH" of sys.stdin print these bytes of it.
    #| sys.exit(f"extract {name}: not written yet")


match sys.argv[1:]:
    case ["extract", name]:
        extract(name)
    case _:
        print("usage: extract PLACE", file=sys.stderr)
        sys.exit(2)
