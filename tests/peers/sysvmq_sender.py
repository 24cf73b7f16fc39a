"""Sends each argument to the queue KEY, then the goodbye, with sysv_ipc."""

import sys

import sysv_ipc

GOODBYE = 0x7FFFFFFF
queue = sysv_ipc.MessageQueue(int(sys.argv[1]), sysv_ipc.IPC_CREAT, mode=0o600)
for message in sys.argv[2:]:
    queue.send(message.encode(), type=5)
queue.send(b"", type=GOODBYE)
