#!/usr/bin/env python3
"""A file, whole or not at all: open(2), write(2), fsync(2), rename(2), read(2), unlink(2).

Wire: a message a line. The end is the end of the file.
python3 file.py sender /tmp/f hello world; python3 file.py receiver /tmp/f
"""
import os
import sys


def sender(name, *messages):
    unfinished = name + ".tmp"  # a name that no receiver opens
    new = os.O_CREAT | os.O_EXCL  # EEXIST: another sender writes it
    file = os.open(unfinished, os.O_WRONLY | new, 0o600)
    try:
        for message in messages:
            rest = message.encode() + b"\n"
            while rest:
                rest = rest[os.write(file, rest):]  # a part; the next one fails: ENOSPC
        os.fsync(file)  # sleeps until all bytes are on the disk
        os.rename(unfinished, name)  # the whole file appears at once
    except OSError as error:
        os.unlink(unfinished)  # or the next sender fails with EEXIST
        sys.exit(f"{name}: {error.strerror}")


def receiver(name):
    file = os.open(name, os.O_RDONLY)  # ENOENT: no file was sent yet
    os.unlink(name)  # the file has no name now, and is there until it is closed
    while data := os.read(file, 4096):  # b"": the end of the file
        os.write(1, data)


match sys.argv[1:]:
    case ["sender", name, *messages]:
        sender(name, *messages)
    case ["receiver", name]:
        receiver(name)
    case _:
        print("usage: file.py sender PLACE MESSAGE... | receiver PLACE", file=sys.stderr)
        sys.exit(2)
