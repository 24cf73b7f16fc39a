"""Takes two plain signals by the standard library, and prints who sent them."""

import os
import signal

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("ready", os.getpid(), flush=True)
for number in (1, 2):
    info = signal.sigwaitinfo([signal.SIGUSR1])
    name = signal.Signals(info.si_signo).name
    print(number, name, info.si_uid == os.getuid(), info.si_pid > 0, flush=True)
