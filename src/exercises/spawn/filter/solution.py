#!/usr/bin/env python3
"""A child that may do anything: pipe2(2), fork(2), execvp(3), poll(2), waitpid(2)."""
import os
import select
import signal
import sys


def parent(message, words):
    stdin, to_child = os.pipe()
    from_child, stdout = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.dup2(stdin, 0)
            os.dup2(stdout, 1)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python has set it to be ignored
            os.execvp(words[0], words)
        except OSError as error:
            os.write(2, f"{words[0]}: {error}\n".encode())
        os._exit(1)
    os.close(stdin)
    os.close(stdout)
    os.set_blocking(to_child, False)  # a write takes what there is room for
    rest = os.fsencode(message) + b"\n"
    fds = select.poll()
    fds.register(from_child, select.POLLIN)
    fds.register(to_child, select.POLLOUT)
    while True:
        for fd, _ in fds.poll():  # sleeps until one of the two is ready
            if fd == to_child:
                try:
                    rest = rest[os.write(to_child, rest):]
                except BrokenPipeError:
                    rest = b""  # the child reads no more
                if not rest:
                    fds.unregister(to_child)
                    os.close(to_child)  # the child's read returns b""
            elif data := os.read(from_child, 65536):
                while data:
                    data = data[os.write(1, data):]
            else:
                _, status = os.waitpid(child, 0)
                status = os.waitstatus_to_exitcode(status)
                sys.exit(status if status >= 0 else f"ended by signal {-status}")


def child():
    for line in sys.stdin.buffer:
        os.write(1, line)


match sys.argv[1:]:
    case ["child"]:
        child()
    case ["parent", message]:
        parent(message, [sys.executable, __file__, "child"])
    case ["parent", message, *words]:
        parent(message, words)
    case _:
        print("usage: spawn.py parent MESSAGE [COMMAND...] | child", file=sys.stderr)
        sys.exit(2)
