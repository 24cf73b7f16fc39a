#!/usr/bin/env python3
"""A signal that cannot come too early: sigprocmask(2), sigwaitinfo(2).

mkfifo /tmp/w; python3 worker.py worker /tmp/w & kill -USR1 $(cat /tmp/w)
"""
import os
import signal
import sys

#| came = None
#|
#|
#| def note(signo, frame):
#|     global came
#|     came = signo
#|


def worker(name):
    #| global came
    #[
    signals = [signal.SIGUSR1, signal.SIGTERM]
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # from now on a signal waits
    #]
    #| signal.signal(signal.SIGUSR1, note)
    #| signal.signal(signal.SIGTERM, note)
    while True:
        #| came = None
        with open(name, "w") as place:  # sleeps until somebody reads
            place.write(f"{os.getpid()}\n")
        #[
        if signal.sigwaitinfo(signals).si_signo == signal.SIGTERM:  # sleeps unless one has come
            return
        #]
        #| signal.pause()  # sleeps until a signal comes
        #| if came == signal.SIGTERM:
        #|     return
        print("work", flush=True)


match sys.argv[1:]:
    case ["worker", name]:
        worker(name)
    case _:
        print("usage: worker PLACE", file=sys.stderr)
        sys.exit(2)
