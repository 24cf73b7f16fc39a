#!/usr/bin/env python3
import os
import sys

if len(sys.argv) != 3:
    sys.exit(print("usage: receiver PLACE", file=sys.stderr) or 2)
place = sys.argv[2]
os.mkfifo(place, 0o600)
fifo = os.open(place, os.O_RDONLY)  # sleeps until a writer opens it, too
while data := os.read(fifo, 65536):  # sleeps until there is something, or no writer
    os.write(1, data)
os.unlink(place)
