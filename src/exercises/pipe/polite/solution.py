#!/usr/bin/env python3
"""Lines of two inputs, as they come: poll(2), read(2), write(2).

mkfifo /tmp/f; python3 merge.py merge /tmp/f & echo one > /tmp/f
"""
import os
import select
import sys


#| def drain(fd):
#|     """All that is there; nothing at the end."""
#|     data = b""
#|     try:
#|         while part := os.read(fd, 4096):
#|             data += part
#|     except BlockingIOError:
#|         pass
#|     return data
#|
#|
def merge(name):
    fifo = os.open(name, os.O_RDONLY)  # sleeps until a writer has it open
    waiting, begun = select.poll(), {}
    for fd in (0, fifo):
        #| os.set_blocking(fd, False)
        waiting.register(fd, select.POLLIN)
        begun[fd] = b""  # of a line that has not come whole
    while begun:
        for fd, _ in waiting.poll():  # sleeps until one of them has data, or its end
            #[
            data = os.read(fd, 4096)  # once: poll has said that this one does not sleep
            #]
            #| data = drain(fd)
            *lines, begun[fd] = (begun[fd] + data).split(b"\n")
            if not data:
                waiting.unregister(fd)
                last = begun.pop(fd)
                lines = [last] if last else []
            for line in lines:
                os.write(1, line + b"\n")


match sys.argv[1:]:
    case ["merge", name]:
        merge(name)
    case _:
        print("usage: merge PLACE", file=sys.stderr)
        sys.exit(2)
