#!/usr/bin/env python3
"""A worker that takes the messages of its type: msgget(2), msgrcv(2).

pip install sysv_ipc; python3 worker.py worker 0x4d2 3
"""
#[
import os
#]
import sys

#[
from sysv_ipc import IPC_CREAT, MessageQueue
#]


def worker(key, mtype):
    #[
    queue = MessageQueue(key, IPC_CREAT, 0o600, 8192)
    while True:
        message, _ = queue.receive(type=mtype)  # sleeps while no message has the type
        if message == b"":
            break
        os.write(1, message + b"\n")
    #]
    #| # Print the messages of type `mtype` in the queue `key`.
    #| sys.exit(f"worker {key:#x} {mtype}: not written yet")


match sys.argv[1:]:
    case ["worker", key, mtype]:
        worker(int(key, 0), int(mtype))
    case _:
        print("usage: worker PLACE TYPE", file=sys.stderr)
        sys.exit(2)
