#!/usr/bin/env python3
"""A receiver that does not wait for ever: mq_open(3), mq_timedreceive(3), mq_unlink(3).

pip install posix_ipc; python3 receiver.py receiver /q 5
"""
import os
import sys

#[
from posix_ipc import O_CREAT, BusyError, MessageQueue
#]
#| from posix_ipc import O_CREAT, MessageQueue


def receiver(name, seconds):
    attr = {"max_messages": 10, "max_message_size": 1024}  # of a new queue
    queue = MessageQueue(name, O_CREAT, 0o600, **attr, read=True, write=False)
    while True:
        #[
        try:
            # Each message has its own time; posix_ipc makes of it a time of the system's clock.
            message, priority = queue.receive(seconds)  # sleeps while it is empty
        except BusyError:  # ETIMEDOUT
            queue.unlink()
            sys.exit(f"no message for {seconds} s")
        #]
        #| message, priority = queue.receive()  # sleeps while it is empty
        if message == b"" and priority == 0:
            break
        os.write(1, message + b"\n")
    queue.unlink()


match sys.argv[1:]:
    case ["receiver", name, seconds]:
        receiver(name, int(seconds))
    case _:
        print("usage: receiver PLACE SECONDS", file=sys.stderr)
        sys.exit(2)
