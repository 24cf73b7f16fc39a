#!/usr/bin/env python3
"""A System V message queue, bare: msgget(2), msgsnd(2), msgrcv(2), msgctl(2).

Wire: a queue message each. The end is an empty one of type 0x7fffffff.
Not here: a sender that dies, a second sender, limits, a signal in a call. See chapter sysvmq.
The standard library has no such queue: pip install sysv_ipc
python3 sysvmq.py receiver 0x4d2 & python3 sysvmq.py sender 0x4d2 hello world
"""
import os
import sys
from contextlib import suppress

from sysv_ipc import IPC_CREAT, ExistentialError, MessageQueue

END = 0x7FFFFFFF
ROOM = 8192


def get_queue(key):
    """Either side may be first: the queue keeps the messages."""
    return MessageQueue(key, IPC_CREAT, 0o600, ROOM)


def receiver(key):
    queue = get_queue(key)
    while True:
        message, mtype = queue.receive()  # sleeps while it is empty
        if mtype == END:
            break
        os.write(1, message + b"\n")
    with suppress(ExistentialError):  # EINVAL: the role (ipclab sysvmq sender) removed it
        queue.remove()  # the sender has sent all


def sender(key, *messages):
    queue = get_queue(key)
    for message in messages:
        queue.send(message.encode(), type=1)  # sleeps while it is full
    queue.send(b"", type=END)  # sleeps while it is full


def number(word):
    """Decimal, or hexadecimal behind 0x; 0, if it is no number."""
    try:
        return int(word, 0)
    except ValueError:
        return 0


match sys.argv[1:]:
    case ["receiver", key] if number(key) != 0:  # IPC_PRIVATE: the roles would never meet
        receiver(number(key))
    case ["sender", key, *messages] if number(key) != 0:
        sender(number(key), *messages)
    case _:
        print("usage: sysvmq.py receiver PLACE | sender PLACE MESSAGE...", file=sys.stderr)
        sys.exit(2)
