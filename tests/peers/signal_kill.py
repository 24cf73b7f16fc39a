"""Sends plain signals, by the standard library, to the receiver that published itself.

Each line of standard input is one signal: `kill` by os.kill, `pidfd` by a pidfd.
"""

import os
import signal
import sys

with open(os.path.join(os.environ["IPCLAB_DIR"], "signal")) as published:
    pid = int(published.read().split()[0])
for line in sys.stdin:
    if line.strip() == "kill":
        os.kill(pid, signal.SIGUSR1)
    else:
        signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGUSR1)
