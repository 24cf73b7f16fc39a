#!/usr/bin/env python3
"""A pipe, bare: pipe(2), fork(2), close(2), write(2), read(2), waitpid(2).

Wire: a message a line. The end is the last writer's close(2).
Not here: an answer (a pipe goes one way), a child that fails, SIGPIPE. See chapter pipe.
python3 pipe.py sender hello world | python3 pipe.py receiver; python3 pipe.py fork hello
"""
import os
import sys


def sender(writing, *messages):
    for message in messages:
        os.write(writing, message.encode() + b"\n")  # sleeps while it is full
    os.close(writing)  # the reader's read returns b""


def receiver(reading):
    while data := os.read(reading, 4096):  # sleeps while it is empty
        os.write(1, data)
    # b"": the last writer has closed it


def both(*messages):
    """Makes the pipe, and a second process that gets both ends as well."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)  # or read never returns b"": the child is a writer as well
        receiver(reading)
        os._exit(0)
    os.close(reading)  # or write would never fail with EPIPE: the parent is a reader
    sender(writing, *messages)  # closes it as well: the child's read returns b""
    os.waitpid(child, 0)  # sleeps until the child has ended


match sys.argv[1:]:
    case ["sender", *messages]:
        sender(1, *messages)
    case ["receiver"]:
        receiver(0)
    case ["fork", *messages]:
        both(*messages)
    case _:
        print("usage: pipe.py sender MESSAGE... | receiver | fork MESSAGE...", file=sys.stderr)
        sys.exit(2)
