#!/usr/bin/env python3
"""A filter whose output is not late: open(2), read(2), write(2).

mkfifo /tmp/f; python3 number.py number /tmp/f | cat & cat > /tmp/f
"""
import sys


def number(name):
    with open(name, "rb") as lines, open(1, "wb", closefd=False) as output:
        for count, line in enumerate(lines, 1):  # sleeps until a line has come
            numbered = b"%d %s\n" % (count, line.rstrip(b"\n"))
            output.write(numbered)  # into the buffer of this process
            #[
            output.flush()  # into the pipe: write(2)
            #]


match sys.argv[1:]:
    case ["number", name]:
        number(name)
    case _:
        print("usage: number PLACE", file=sys.stderr)
        sys.exit(2)
