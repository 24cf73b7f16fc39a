"""Sends each line of its standard input to `mmap receiver`: mmap_sender.py FILE"""

import mmap
import sys

from ring import SENDER, Ring

with open(sys.argv[1], "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
    ring = Ring(memory)
    ring.join(SENDER)
    for line in sys.stdin.buffer:
        ring.send(line.rstrip(b"\n"))
    ring.close()
    ring.release()
