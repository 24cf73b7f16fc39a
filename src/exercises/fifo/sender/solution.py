#!/usr/bin/env python3
"""A FIFO whose reader may die: mkfifo(3), open(2), write(2), read(2), unlink(2).

Wire: a message a line. The end is the last writer's close(2).
python3 fifo.py receiver /tmp/f & python3 fifo.py sender /tmp/f hello world
"""
import os
import sys


def make(name):
    try:
        os.mkfifo(name, 0o600)
    except FileExistsError:
        pass  # either side may be first


def receiver(name):
    make(name)
    fifo = os.open(name, os.O_RDONLY)  # sleeps until a writer opens it
    while data := os.read(fifo, 4096):  # sleeps while it is empty
        os.write(1, data)
    # b"": the last writer has closed it
    try:
        os.unlink(name)
    except FileNotFoundError:
        pass  # ENOENT: the role (ipclab fifo sender) has removed it


def sender(name, *messages):
    make(name)
    fifo = os.open(name, os.O_WRONLY)  # sleeps until a reader opens it
    for count, message in enumerate(messages):
        rest = message.encode() + b"\n"
        while rest:  # a part of a message is none
            try:
                rest = rest[os.write(fifo, rest):]  # sleeps while it is full
            except BrokenPipeError:  # EPIPE: Python ignores SIGPIPE, which would kill
                sys.exit(f"write: EPIPE; messages handed over: {count}")
    os.close(fifo)  # the reader's read returns b""


match sys.argv[1:]:
    case ["receiver", name]:
        receiver(name)
    case ["sender", name, *messages]:
        sender(name, *messages)
    case _:
        print("usage: fifo.py receiver PLACE | sender PLACE MESSAGE...", file=sys.stderr)
        sys.exit(2)
