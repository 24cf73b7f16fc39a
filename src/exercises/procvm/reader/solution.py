#!/usr/bin/env python3
"""Bytes of another process's memory: process_vm_readv(2)."""
import ctypes
#[
import os
#]
import sys


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def reader(place):
    #[
    with open(place) as file:
        pid, address, length = file.read().split()
    room = ctypes.create_string_buffer(int(length))
    here = Iovec(ctypes.addressof(room), int(length))
    there = Iovec(int(address, 16), int(length))
    libc = ctypes.CDLL(None, use_errno=True)
    lists = ctypes.byref(here), 1, ctypes.byref(there), 1
    n = libc.process_vm_readv(int(pid), *lists, ctypes.c_ulong(0))
    if n == -1:  # not one byte is there
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    sys.stdout.buffer.write(room[:n])
    sys.stdout.flush()
    if n < int(length):
        sys.exit(f"only {n} of {length} bytes are there")
    #]
    #| # Read the line, copy the bytes, and print them.
    #| sys.exit(f"reader {place}: not written yet")


match sys.argv[1:]:
    case ["reader", place]:
        reader(place)
    case _:
        print("usage: reader PLACE", file=sys.stderr)
        sys.exit(2)
