#!/usr/bin/env python3
"""A command that lives on: fork(2), setsid(2), chdir(2), dup2(2), execvp(3)."""
import errno
import os
import sys


def become_the_command(words):
    """Makes of this process the command; fails if that cannot be."""
    #[
    os.setsid()  # a forked process leads no group, so that it may
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    #]
    os.execvp(words[0], words)


def detach(place, words):
    reading, writing = os.pipe()  # close-on-exec: its end says that execve has succeeded
    child = os.fork()
    if child == 0:
        try:
            become_the_command(words)
        except OSError as error:
            os.write(writing, errno.errorcode[error.errno].encode())
        os._exit(1)
    os.close(writing)  # or read never returns b""
    #[
    if failed := os.read(reading, 64):  # sleeps until execve has come to an end
        sys.exit(f"{words[0]}: {failed.decode()}")
    #]
    with open(place, "w") as file:
        print(child, file=file)


match sys.argv[1:]:
    case ["detach", place, *words] if words:
        detach(place, words)
    case _:
        print("usage: detach.py PLACE COMMAND ARGUMENT...", file=sys.stderr)
        sys.exit(2)
