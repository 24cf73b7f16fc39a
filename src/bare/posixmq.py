#!/usr/bin/env python3
"""A POSIX message queue, bare: mq_open(3), mq_send(3), mq_receive(3), mq_unlink(3).

Wire: a queue message each. The end is an empty one of priority 0, the lowest.
Not here: a sender that dies, a second sender, limits, a signal in a call. See chapter posixmq.
The standard library has no such queue: pip install posix_ipc
python3 posixmq.py receiver /q & python3 posixmq.py sender /q hello world
"""
import os
import sys
from contextlib import suppress

from posix_ipc import O_CREAT, ExistentialError, MessageQueue


def open_queue(name, **access):
    """Either side may be first: the queue keeps the messages."""
    attr = {"max_messages": 10, "max_message_size": 8192}  # of a new queue
    return MessageQueue(name, O_CREAT, 0o600, **attr, **access)


def receiver(name):
    queue = open_queue(name, read=True, write=False)
    while True:
        message, priority = queue.receive()  # sleeps while it is empty
        if message == b"" and priority == 0:
            break
        os.write(1, message + b"\n")
    with suppress(ExistentialError):  # ENOENT: the role (ipclab posixmq sender) has removed it
        queue.unlink()  # the sender has sent all


def sender(name, *messages):
    queue = open_queue(name, read=False, write=True)
    for message in messages:
        queue.send(message.encode(), priority=1)  # sleeps while it is full
    queue.send(b"", priority=0)  # the end: the lowest priority is last; sleeps while it is full


match sys.argv[1:]:
    case ["receiver", name]:
        receiver(name)
    case ["sender", name, *messages]:
        sender(name, *messages)
    case _:
        print("usage: posixmq.py receiver PLACE | sender PLACE MESSAGE...", file=sys.stderr)
        sys.exit(2)
