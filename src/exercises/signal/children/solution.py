#!/usr/bin/env python3
"""Children that are all collected: sigwaitinfo(2), waitpid(2).

mkfifo /tmp/p; python3 parent.py parent /tmp/p & kill -USR1 $!; echo hello > /tmp/p; kill $!
"""
import os
import signal
import sys


def parent(name):
    signals = [signal.SIGUSR1, signal.SIGCHLD, signal.SIGTERM]
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    running, well, failed, ending = 0, 0, 0, False
    while running or not ending:
        match signal.sigwaitinfo(signals).si_signo:  # sleeps until a signal waits
            case signal.SIGTERM:
                ending = True
            case signal.SIGUSR1:
                os.posix_spawnp("cat", ["cat", name], os.environ, setsigmask=[])
                running += 1
            case signal.SIGCHLD:
                #[
                # One signal may stand for several children: a standard signal waits once.
                while running:
                    pid, status = os.waitpid(-1, os.WNOHANG)  # does not sleep
                    if pid == 0:
                        break  # the others run on
                    running -= 1
                    well, failed = (well + 1, failed) if status == 0 else (well, failed + 1)
                #]
                #| _, status = os.waitpid(-1, os.WNOHANG)
                #| running -= 1
                #| well, failed = (well + 1, failed) if status == 0 else (well, failed + 1)
    print(f"well {well}\nfailed {failed}")


match sys.argv[1:]:
    case ["parent", name]:
        parent(name)
    case _:
        print("usage: parent PLACE", file=sys.stderr)
        sys.exit(2)
