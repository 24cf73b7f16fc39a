"""Receives from `mmap sender`: mmap_receiver.py FILE"""

import mmap
import sys

from ring import RECEIVER, Ring

with open(sys.argv[1], "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
    ring = Ring(memory)
    ring.join(RECEIVER)
    for message in ring.receive():
        sys.stdout.buffer.write(message + b"\n")
    ring.release()
