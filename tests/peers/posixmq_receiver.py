"""Prints each message of the queue NAME as a line, until the goodbye, with posix_ipc."""

import sys

import posix_ipc

queue = posix_ipc.MessageQueue(
    sys.argv[1], posix_ipc.O_CREAT, max_messages=4, max_message_size=512
)
print("ready", flush=True)
while True:
    message, priority = queue.receive()
    if not message and priority == 0:
        break
    sys.stdout.buffer.write(b"%d %s\n" % (priority, message))
queue.close()
