#!/usr/bin/env python3
"""Signals, bare: sigprocmask(2), sigwaitinfo(2), sigqueue(3).

Wire: SIGRTMIN with an int: a message's length, then its bytes, 4 a signal; -1 is the end.
PLACE holds the receiver's pid. Simpler than the role's: ipclab signal sender needs --pid.
Not here: two senders, a full queue, an old or empty pid file, EINTR. See chapter signal.
python3 bare_signal.py receiver /tmp/s & sleep 1; python3 bare_signal.py sender /tmp/s hello world
Named so, since python3 signal.py would hide Python's own module signal from its neighbours.
ctypes calls the C library's sigqueue: the standard library has none.
"""
import ctypes
import os
import sys

sys.path.pop(0)  # this file's directory: or the next line imports this file
import signal  # noqa: E402


def receiver(name):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])  # from now on the signal waits
    place = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(place, b"%d" % os.getpid())
    while True:
        match take():
            case -1, _:
                return os.unlink(name)
            case -2, pid:
                queue(pid, signal.SIGRTMIN + 1, 1 << 30)  # ipclab signal sender asks
            case length, _:
                for at in range(0, length, 4):
                    word = take()[0].to_bytes(4, "little", signed=True)
                    os.write(1, word[:length - at])
                os.write(1, b"\n")


def take():
    """Takes a signal: its value, and the pid of its sender."""
    info = signal.sigwaitinfo([signal.SIGRTMIN])  # sleeps while no signal waits
    return info.si_status, info.si_pid  # si_status is where the int of si_value is, in C


def sender(name, *messages):
    place = os.open(name, os.O_RDONLY)  # ENOENT: no receiver yet
    pid = int(os.read(place, 64).split()[0])
    for message in messages:
        text = message.encode()
        queue(pid, signal.SIGRTMIN, len(text))
        for at in range(0, len(text), 4):
            word = text[at:at + 4].ljust(4, b"\0")  # the last word ends with zeros
            queue(pid, signal.SIGRTMIN, int.from_bytes(word, "little"))
    queue(pid, signal.SIGRTMIN, -1)


class Sigval(ctypes.Union):
    _fields_ = [("sival_int", ctypes.c_int), ("sival_ptr", ctypes.c_void_p)]


def queue(pid, signo, value):
    sigqueue = ctypes.CDLL(None, use_errno=True).sigqueue
    sigqueue.argtypes = [ctypes.c_int, ctypes.c_int, Sigval]
    if sigqueue(pid, signo, Sigval(value)) == -1:
        raise OSError(ctypes.get_errno(), "sigqueue")  # EAGAIN: the queue is full


match sys.argv[1:]:
    case ["receiver", name]:
        receiver(name)
    case ["sender", name, *messages]:
        sender(name, *messages)
    case _:
        print("usage: signal.py receiver PLACE | sender PLACE MESSAGE...", file=sys.stderr)
        sys.exit(2)
