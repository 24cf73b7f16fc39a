#!/usr/bin/env python3
"""A POSIX semaphore of this run: sem_open(3), sem_wait(3), sem_post(3), sem_unlink(3).

Wire: no bytes but the semaphore's value: a post adds 1, a wait takes 1 or sleeps.
The standard library has none with a name: pip install posix_ipc
python3 semaphore.py waiter /s 3 & python3 semaphore.py poster /s 3
"""
import os
import sys
from contextlib import suppress

from posix_ipc import O_CREX, ExistentialError, Semaphore, unlink_semaphore


def waiter(name, times=1):
    """The waiter is first, and its semaphore is a new one, with the value 0."""
    with suppress(ExistentialError):  # ENOENT: there was none
        unlink_semaphore(name)  # what a killed run has left: its posts go with it
    semaphore = Semaphore(name, O_CREX, mode=0o600, initial_value=0)
    for number in range(1, times + 1):
        semaphore.acquire()  # sem_wait takes 1; sleeps while it is 0
        os.write(1, b"took %d\n" % number)
    with suppress(ExistentialError):
        semaphore.unlink()


def poster(name, times=1):
    semaphore = Semaphore(name)  # ENOENT: no waiter is there
    for _ in range(times):
        semaphore.release()  # sem_post adds 1; wakes a waiter that sleeps


match sys.argv[1:]:
    case ["waiter", name]:
        waiter(name)
    case ["waiter", name, times] if times.isdecimal() and int(times) > 0:
        waiter(name, int(times))
    case ["poster", name]:
        poster(name)
    case ["poster", name, times] if times.isdecimal() and int(times) > 0:
        poster(name, int(times))
    case _:
        print("usage: semaphore.py waiter|poster PLACE [TIMES]", file=sys.stderr)
        sys.exit(2)
