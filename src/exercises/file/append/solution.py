#!/usr/bin/env python3
"""Lines at the end of a file that others write as well: open(2), write(2).

echo hello | python3 logger.py logger /tmp/log /dev/stdin
"""
import os
import sys


def logger(name, source):
    #[
    log = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)  # each write: at the end
    #]
    #| log = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600)
    #| os.lseek(log, 0, os.SEEK_END)
    with open(source, "rb") as lines:
        for line in lines:  # sleeps until a line has come
            #[
            os.write(log, line.rstrip(b"\n") + b"\n")  # one call: nothing can come between
            #]
            #| os.write(log, line.rstrip(b"\n"))
            #| os.write(log, b"\n")


match sys.argv[1:]:
    case ["logger", name, source]:
        logger(name, source)
    case _:
        print("usage: logger PLACE INPUT", file=sys.stderr)
        sys.exit(2)
