"""Adds COUNT lines to the log $IPCLAB_DIR/NAME, each in two writes under flock(2)."""

import fcntl
import os
import sys

path = os.path.join(os.environ["IPCLAB_DIR"], sys.argv[1])
log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
for number in range(int(sys.argv[2])):
    fcntl.flock(log, fcntl.LOCK_EX)
    os.write(log, b"python ")
    os.write(log, b"%d\n" % number)
    fcntl.flock(log, fcntl.LOCK_UN)
