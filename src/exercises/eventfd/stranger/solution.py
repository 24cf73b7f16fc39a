#!/usr/bin/env python3
"""An eventfd that is looked at before it is written to: eventfd(2), readlink(2), write(2), unix(7).

Wire: the byte x with the eventfd; then no bytes but a number: a write adds, a read takes all.
python3 eventfd.py waiter /tmp/e 3 & sleep 1; python3 eventfd.py notifier /tmp/e 3
"""
import os
import struct
import sys
from socket import (AF_UNIX, CMSG_LEN, MSG_CMSG_CLOEXEC, MSG_NOSIGNAL, SCM_RIGHTS, SOCK_STREAM,
                    SOL_SOCKET, socket)


def waiter(name, total):
    event = os.eventfd(0, os.EFD_CLOEXEC)  # a counter of 0, without a name
    listener = socket(AF_UNIX, SOCK_STREAM)
    listener.bind(name)  # makes the name
    listener.listen(5)  # from now on the kernel connects notifiers
    notifier, _ = listener.accept()  # sleeps until a notifier comes
    rights = [(SOL_SOCKET, SCM_RIGHTS, struct.pack("i", event))]
    # MSG_NOSIGNAL: EPIPE, and no SIGPIPE, if the notifier has left.
    notifier.sendmsg([b"x"], rights, MSG_NOSIGNAL)
    taken = 0
    while taken < total:
        # sleeps while the counter is 0; takes all of it; EINVAL with room for fewer bytes
        (number,) = struct.unpack("Q", os.read(event, 8))
        os.write(1, b"took %d\n" % number)
        taken += number
    notifier.close()  # the connection stayed open: its end is the only one that is seen
    listener.close()
    os.unlink(name)


def notifier(name, numbers):
    sock = socket(AF_UNIX, SOCK_STREAM)
    sock.connect(name)  # sleeps while the backlog is full
    # MSG_CMSG_CLOEXEC: no program that this one starts inherits the descriptor.
    x, rights, *_ = sock.recvmsg(1, CMSG_LEN(4), MSG_CMSG_CLOEXEC)  # sleeps until x comes
    if rights == []:
        sys.exit("recvmsg: the waiter has left, or sent no descriptor")
    # Another number than the waiter's, of the same counter.
    (event,) = struct.unpack("i", rights[0][2])
    # The kernel says what it is: a link to the name of its kind.
    kind = os.readlink(f"/proc/self/fd/{event}")
    if kind != "anon_inode:[eventfd]":
        sys.exit(f"what was passed is no eventfd, but {kind}")
    for number in numbers:
        os.write(event, struct.pack("Q", number))  # sleeps while the sum is over 2^64 - 2
    sock.close()  # the end of a process that has the eventfd open is no end of file


match sys.argv[1:]:
    case ["waiter", name, total]:
        waiter(name, int(total))
    case ["notifier", name, *numbers]:
        notifier(name, [int(number) for number in numbers])
    case _:
        print("usage: eventfd.py waiter PLACE TOTAL | notifier PLACE NUMBER...", file=sys.stderr)
        sys.exit(2)
