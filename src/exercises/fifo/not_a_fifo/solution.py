#!/usr/bin/env python3
"""A FIFO that is one: mkfifo(3), open(2), fstat(2), write(2), read(2), unlink(2).

Wire: a message a line. The end is the last writer's close(2).
python3 fifo.py receiver /tmp/f & python3 fifo.py sender /tmp/f hello world
"""
import errno
import os
import stat
import sys


def open_fifo(name, flags):
    try:
        os.mkfifo(name, 0o600)
    except FileExistsError:
        # A regular file opens at once: neither cut off nor written to before we have looked.
        pass
    try:
        fifo = os.open(name, flags | os.O_NOFOLLOW)  # sleeps until the other side opens it
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        sys.exit(f"{name}: a symbolic link, no FIFO")
    if not stat.S_ISFIFO(os.fstat(fifo).st_mode):
        sys.exit(f"{name}: no FIFO")
    return fifo


def receiver(name):
    fifo = open_fifo(name, os.O_RDONLY)
    while data := os.read(fifo, 4096):  # sleeps while it is empty
        os.write(1, data)
    # b"": the last writer has closed it
    try:
        os.unlink(name)
    except FileNotFoundError:
        pass  # ENOENT: the role (ipclab fifo sender) has removed it


def sender(name, *messages):
    fifo = open_fifo(name, os.O_WRONLY)
    for message in messages:
        os.write(fifo, message.encode() + b"\n")  # sleeps while it is full
    os.close(fifo)  # the reader's read returns b""


match sys.argv[1:]:
    case ["receiver", name]:
        receiver(name)
    case ["sender", name, *messages]:
        sender(name, *messages)
    case _:
        print("usage: fifo.py receiver PLACE | sender PLACE MESSAGE...", file=sys.stderr)
        sys.exit(2)
