#!/usr/bin/env python3
"""A job runner: fork(2), waitpid(2), kill(2), prctl(2).

python3 jobs.py run 'sleep 60 & sleep 60'
"""
#[
import ctypes
import os
import signal
#]
import subprocess
import sys
#[
import time

libc = ctypes.CDLL(None, use_errno=True)
PR_SET_CHILD_SUBREAPER = 36


class Terminated(Exception):
    pass


def terminated(*_):
    raise Terminated


def family():
    """All that descends from this process."""
    found, parents = [], [os.getpid()]
    while parents:
        parent = parents.pop()
        try:
            with open(f"/proc/{parent}/task/{parent}/children") as children:
                pids = [int(pid) for pid in children.read().split()]
        except OSError:
            continue  # it has ended
        found += pids
        parents += pids
    return found


def end_family(number, seconds=None):
    """Sends all a signal, and waits for them, at most so long."""
    began = time.monotonic()
    asked = set()
    while seconds is None or time.monotonic() < began + seconds:
        for pid in set(family()) - asked:  # whoever was forked meanwhile comes next time
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
            asked.add(pid)
        try:
            while os.waitpid(-1, os.WNOHANG)[0] > 0:
                pass
        except ChildProcessError:
            return  # ECHILD: there is nobody any more
        time.sleep(0.005)

#]

def run(command):
    #[
    # What is orphaned becomes our child, and not that of process 1.
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, terminated)
    job = subprocess.Popen(["sh", "-c", command])
    try:
        status = job.wait()  # sleeps
    except Terminated:
        end_family(signal.SIGTERM, 2)
        status = 128 + signal.SIGTERM
        print("ended by SIGTERM, with the whole family", file=sys.stderr)
    end_family(signal.SIGKILL)  # what is left
    os._exit(status if status >= 0 else 128 - status)
    #]
    #| sys.exit(subprocess.run(["sh", "-c", command]).returncode)


match sys.argv[1:]:
    case ["run", command]:
        run(command)
    case _:
        print("usage: run COMMAND", file=sys.stderr)
        sys.exit(2)
