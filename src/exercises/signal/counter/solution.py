#!/usr/bin/env python3
"""A count of signals: sigprocmask(2), sigwaitinfo(2).

python3 counter.py counter /tmp/c & kill -RTMIN $(cat /tmp/c); kill $(cat /tmp/c)
"""
import os
import signal
import sys


def counter(name):
    #[
    signals = [signal.SIGRTMIN, signal.SIGTERM]
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # from now on they wait in a queue
    #]
    with open(name, "w") as place:
        place.write(f"{os.getpid()}\n")
    #[
    count = 0
    # Sleeps until a signal waits, and takes it; after EINTR Python calls it again.
    while signal.sigwaitinfo(signals).si_signo != signal.SIGTERM:
        count += 1
    print(count)
    os.unlink(name)
    #]
    #| sys.exit("counter: not written yet")


match sys.argv[1:]:
    case ["counter", name]:
        counter(name)
    case _:
        print("usage: counter PLACE", file=sys.stderr)
        sys.exit(2)
