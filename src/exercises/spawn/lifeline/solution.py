#!/usr/bin/env python3
"""A guard whose end is the end of its command's group: pipe2(2), fork(2), setpgid(2), kill(2)."""
import os
import signal
import sys


def start(words):
    """Forks the command, which leads a process group."""
    child = os.fork()
    if child == 0:
        try:
            os.setpgid(0, 0)
            os.execvp(words[0], words)
        except OSError as error:
            os.write(2, f"{words[0]}: {error}\n".encode())
        os._exit(1)
    try:
        os.setpgid(child, child)  # also here: whichever of the two is first
    except OSError:
        pass  # EACCES, ESRCH: the child was first
    return child


def guard(words):
    #[
    # The write end is the guard's life: close-on-exec, so that the command has none.
    alive, held = os.pipe()
    #]
    command = start(words)
    #[
    if os.fork() == 0:
        os.setsid()  # no key and no kill of the guard's group ends the watcher
        os.close(held)  # or it would wait for itself
        os.read(alive, 1)  # sleeps for as long as the guard lives
        try:
            os.killpg(command, signal.SIGKILL)
        except ProcessLookupError:
            pass  # all have ended
        os._exit(0)
    #]
    _, status = os.waitpid(command, 0)  # sleeps until the command has ended
    status = os.waitstatus_to_exitcode(status)
    sys.exit(status if status >= 0 else f"ended by signal {-status}")


match sys.argv[1:]:
    case ["guard", *words] if words:
        guard(words)
    case _:
        print("usage: guard.py COMMAND ARGUMENT...", file=sys.stderr)
        sys.exit(2)
