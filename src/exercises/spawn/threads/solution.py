#!/usr/bin/env python3
"""Commands side by side, and a journal: a thread for each, fork(2), execve(2), waitpid(2).

echo 'sleep 1' | python3 threads.py runner /tmp/journal
"""
import subprocess
import sys
import threading

lock = threading.Lock()  # for the journal's next line


def note(journal, what, command):
    """One line of the journal, whole: no other thread writes meanwhile."""
    with lock:
        journal.write(f"{what} {command}\n".encode())  # sleeps while PLACE is full


def end_of(journal, text, child):
    """The thread of one command."""
    status = child.wait()  # sleeps until it has ended
    what = f"signal {-status}" if status < 0 else f"status {status}"
    note(journal, what, text)


def start(journal, text):
    #[
    note(journal, "begins", text)  # here, where the lock's holder is a thread that goes on
    return subprocess.Popen(["sh", "-c", text], stdin=subprocess.DEVNULL)
    #]
    #| def begins():  # in the child, before execve
    #|     note(journal, "begins", text)
    #|
    #| return subprocess.Popen(["sh", "-c", text], stdin=subprocess.DEVNULL, preexec_fn=begins)


def runner(place):
    threads = []
    with open(place, "ab", buffering=0) as journal:
        for line in sys.stdin:  # sleeps until a line comes
            text = line.rstrip("\n")
            child = start(journal, text)
            threads.append(threading.Thread(target=end_of, args=(journal, text, child)))
            threads[-1].start()
        for thread in threads:
            thread.join()  # sleeps until that command has ended


match sys.argv[1:]:
    case ["runner", place]:
        runner(place)
    case _:
        print("usage: threads.py runner PLACE", file=sys.stderr)
        sys.exit(2)
