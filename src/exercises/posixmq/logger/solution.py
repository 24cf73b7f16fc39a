#!/usr/bin/env python3
"""A logger that never waits: mq_open(3), mq_send(3).

pip install posix_ipc; python3 logger.py logger /q hello world
"""
import sys

#[
from posix_ipc import BusyError, MessageQueue
#]
#| from posix_ipc import O_CREAT, MessageQueue


def logger(name, *messages):
    #[
    queue = MessageQueue(name, read=False, write=True)  # ENOENT: nobody reads
    queue.block = False  # O_NONBLOCK
    dropped = 0
    for message in messages:
        data = message.encode()
        if len(data) > queue.max_message_size:
            dropped += 1
            continue
        try:
            queue.send(data, priority=1)
        except BusyError:  # EAGAIN: it is full
            dropped += 1
    if dropped:
        sys.exit(f"{dropped} of {len(messages)} messages dropped")
    #]
    #| attr = {"max_messages": 10, "max_message_size": 1024}  # of a new queue
    #| queue = MessageQueue(name, O_CREAT, 0o600, **attr, read=False, write=True)
    #| for message in messages:
    #|     queue.send(message.encode(), priority=1)  # sleeps while it is full


match sys.argv[1:]:
    case ["logger", name, *messages]:
        logger(name, *messages)
    case _:
        print("usage: logger PLACE MESSAGE...", file=sys.stderr)
        sys.exit(2)
