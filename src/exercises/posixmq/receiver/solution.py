#!/usr/bin/env python3
"""A POSIX message queue's receiver: mq_open(3), mq_getattr(3), mq_receive(3), mq_unlink(3).

pip install posix_ipc; python3 receiver.py receiver /q
"""
#[
import os
#]
import sys

#[
from posix_ipc import O_CREAT, MessageQueue
#]


def receiver(name):
    #[
    attr = {"max_messages": 10, "max_message_size": 1024}  # of a new queue
    queue = MessageQueue(name, O_CREAT, 0o600, **attr, read=True, write=False)
    while True:
        message, priority = queue.receive()  # sleeps while it is empty; asks for mq_msgsize
        if message == b"" and priority == 0:
            break
        os.write(1, message + b"\n")
    queue.unlink()
    #]
    #| # Open or make the queue `name`, print its messages, and remove it.
    #| sys.exit(f"receiver {name}: not written yet")


match sys.argv[1:]:
    case ["receiver", name]:
        receiver(name)
    case _:
        print("usage: receiver PLACE", file=sys.stderr)
        sys.exit(2)
