#!/usr/bin/env python3
"""A filter whose output is not late: open(2), read(2), write(2).

mkfifo /tmp/f; python3 number.py number /tmp/f | cat & cat > /tmp/f
"""
import sys


def number(name):
    with open(name, "rb") as lines:
        for count, line in enumerate(lines, 1):  # sleeps until a line has come
            numbered = b"%d %s\n" % (count, line.rstrip(b"\n"))
            sys.stdout.buffer.write(numbered)  # into the buffer of this process
            #[
            sys.stdout.buffer.flush()  # into the pipe: write(2)
            #]


match sys.argv[1:]:
    case ["number", name]:
        number(name)
    case _:
        print("usage: number PLACE", file=sys.stderr)
        sys.exit(2)
