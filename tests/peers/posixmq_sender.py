"""Sends each argument to the queue NAME, then the goodbye, with posix_ipc."""

import sys

import posix_ipc

queue = posix_ipc.MessageQueue(
    sys.argv[1], posix_ipc.O_CREAT, max_messages=4, max_message_size=512
)
for message in sys.argv[2:]:
    queue.send(message.encode(), priority=1)
queue.send(b"")
queue.close()
