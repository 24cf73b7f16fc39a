#!/usr/bin/env python3
"""A child process, bare: pipe2(2), fork(2), dup2(2), execvp(3), write(2), read(2), waitpid(2).

Wire: the child's standard input and output, a line each way. The end is the parent's close(2).
Not here: more than a pipe holds, standard error, a family to end. See chapter spawn.
python3 spawn.py parent descriptors; python3 spawn.py parent hello tr a-z A-Z
"""
import os
import select
import sys


def parent(message, words):
    stdin, to_child = os.pipe()  # by pipe2 with O_CLOEXEC: execve will close all four
    from_child, stdout = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.dup2(stdin, 0)  # the copies are not close-on-exec
            os.dup2(stdout, 1)
            os.execvp(words[0], words)  # it returns, by an exception, only if it has failed
        except OSError as error:
            os.write(2, f"{words[0]}: {error}\n".encode())
        os._exit(1)
    os.close(stdin)
    os.close(stdout)  # or read would never return b"": the parent is a writer as well
    os.write(to_child, message.encode() + b"\n")  # sleeps while the pipe is full
    os.close(to_child)  # the child's read returns b""
    while data := os.read(from_child, 4096):  # sleeps until the child writes
        os.write(1, data)
    # b"": the last writer has closed it
    _, status = os.waitpid(child, 0)  # sleeps until the child has ended
    status = os.waitstatus_to_exitcode(status)
    sys.exit(status if status >= 0 else f"ended by signal {-status}")


def child():
    """Sends each line back, but for one that is a question."""
    for line in sys.stdin.buffer:  # sleeps until the parent writes
        if line == b"descriptors\n":
            fds = select.poll()
            for fd in range(16):
                fds.register(fd, 0)
            closed = [fd for fd, event in fds.poll(0) if event & select.POLLNVAL]
            line = " ".join(str(fd) for fd in range(16) if fd not in closed).encode() + b"\n"
        os.write(1, line)
    # b"": the parent has closed its end


match sys.argv[1:]:
    case ["child"]:
        child()
    case ["parent", message]:  # this program once more
        parent(message, [sys.executable, __file__, "child"])
    case ["parent", message, *words]:
        parent(message, words)
    case _:
        print("usage: spawn.py parent MESSAGE [COMMAND...] | child", file=sys.stderr)
        sys.exit(2)
