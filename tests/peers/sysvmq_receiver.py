"""Prints each message of the queue KEY as a line, until the goodbye, with sysv_ipc."""

import sys

import sysv_ipc

GOODBYE = 0x7FFFFFFF
queue = sysv_ipc.MessageQueue(
    int(sys.argv[1]), sysv_ipc.IPC_CREAT, mode=0o600, max_message_size=8192
)
print("ready", flush=True)
while True:
    message, mtype = queue.receive()
    if mtype == GOODBYE:
        break
    sys.stdout.buffer.write(b"%d %s\n" % (mtype, message))
