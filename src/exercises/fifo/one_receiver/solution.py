#!/usr/bin/env python3
"""A FIFO with one receiver: mkfifo(3), open(2), flock(2), poll(2), read(2), unlink(2).

Wire: a message a line. The end is the last writer's close(2).
python3 fifo.py receiver /tmp/f & python3 fifo.py sender /tmp/f hello world
"""
import fcntl
import os
import select
import sys


def make(name):
    try:
        os.mkfifo(name, 0o600)
    except FileExistsError:
        pass  # either side may be first


def receiver(name):
    make(name)
    fifo = os.open(name, os.O_RDONLY | os.O_NONBLOCK)  # returns at once
    try:
        fcntl.flock(fifo, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"{name}: another receiver is there")
    select.select([fifo], [], [])  # sleeps until a writer has written, or has come and gone
    os.set_blocking(fifo, True)
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
