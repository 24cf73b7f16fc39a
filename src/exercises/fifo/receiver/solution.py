#!/usr/bin/env python3
"""A FIFO's receiver: mkfifo(3), open(2), read(2), write(2), unlink(2).

python3 fifo.py receiver /tmp/f & echo hello > /tmp/f
"""
import os
import sys


def receiver(name):
    #[
    try:
        os.mkfifo(name, 0o600)
    except FileExistsError:
        pass  # the sender was first
    fifo = os.open(name, os.O_RDONLY)  # sleeps until a writer opens it
    while data := os.read(fifo, 65536):  # sleeps while it is empty
        while data:
            data = data[os.write(1, data):]  # may write less than all
    # b"": the last writer has closed it
    os.unlink(name)
    #]
    #| # Make the FIFO at `name`, open it, print what comes out, and remove it.
    #| sys.exit(f"receiver {name}: not written yet")


match sys.argv[1:]:
    case ["receiver", name]:
        receiver(name)
    case _:
        print("usage: receiver PLACE", file=sys.stderr)
        sys.exit(2)
