#!/usr/bin/env python3
"""A System V semaphore, bare: semget(2), semop(2), semctl(2).

Wire: no bytes but the semaphore's value: a post adds 1, a wait takes 1 or sleeps.
Not here: a poster that dies, a set that is left, EINTR after a stop. See chapter semaphore.
The standard library has none: ctypes makes the calls of the C library.
python3 semaphore_sysv.py waiter 0x4d2 3 & python3 semaphore_sysv.py poster 0x4d2 3
"""
import ctypes
import os
import sys
from ctypes import byref, c_short, c_ushort
from errno import EINVAL, errorcode

libc = ctypes.CDLL(None, use_errno=True)
IPC_CREAT, IPC_RMID = 0o1000, 0


class Sembuf(ctypes.Structure):
    _fields_ = [("sem_num", c_ushort), ("sem_op", c_short), ("sem_flg", c_short)]


def ok(result, call):
    """Leaves with the name of the error, if a call has failed."""
    if result == -1:
        sys.exit(f"{call}: {errorcode[ctypes.get_errno()]}")
    return result


def get_semaphore(key):
    """Either side may be first: a new one has the value 0, on Linux."""
    return ok(libc.semget(key, 1, IPC_CREAT | 0o600), "semget")  # a set of 1


def waiter(key, times=1):
    semaphore = get_semaphore(key)
    take = Sembuf(sem_op=-1)
    for number in range(1, times + 1):
        ok(libc.semop(semaphore, byref(take), 1), "semop")  # takes 1; sleeps while it is 0
        os.write(1, b"took %d\n" % number)
    if libc.semctl(semaphore, 0, IPC_RMID) == -1 and ctypes.get_errno() != EINVAL:
        ok(-1, "semctl")  # EINVAL: the role (ipclab semaphore poster) has removed the set


def poster(key, times=1):
    semaphore = get_semaphore(key)
    add = Sembuf(sem_op=1)
    for _ in range(times):
        ok(libc.semop(semaphore, byref(add), 1), "semop")  # adds 1; wakes a waiter that sleeps


def number(word):
    """Decimal, or hexadecimal behind 0x; 0, if it is no number."""
    try:
        return int(word, 0)
    except ValueError:
        return 0


match sys.argv[1:]:
    case ["waiter", key] if number(key) != 0:  # IPC_PRIVATE: the roles would never meet
        waiter(number(key))
    case ["waiter", key, times] if number(key) != 0 and number(times) > 0:
        waiter(number(key), number(times))
    case ["poster", key] if number(key) != 0:
        poster(number(key))
    case ["poster", key, times] if number(key) != 0 and number(times) > 0:
        poster(number(key), number(times))
    case _:
        print("usage: semaphore_sysv.py waiter|poster PLACE [TIMES]", file=sys.stderr)
        sys.exit(2)
