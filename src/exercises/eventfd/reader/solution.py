#!/usr/bin/env python3
"""An eventfd that is read until its connection ends: recvmsg(2), poll(2), read(2), eventfd(2)."""
#[
import os
import select
import struct
from socket import AF_UNIX, CMSG_LEN, MSG_CMSG_CLOEXEC, SOCK_STREAM, socket
#]
import sys


def reader(place):
    #[
    sock = socket(AF_UNIX, SOCK_STREAM)
    sock.connect(place)
    _, rights, *_ = sock.recvmsg(1, CMSG_LEN(4), MSG_CMSG_CLOEXEC)  # sleeps until x comes
    (event,) = struct.unpack("i", rights[0][2])
    poll = select.poll()
    poll.register(event, select.POLLIN)
    poll.register(sock, select.POLLIN)
    while True:
        ready = dict(poll.poll())  # sleeps until there is a number, or the end
        if event in ready:
            (number,) = struct.unpack("Q", os.read(event, 8))  # takes all, or 1 if it was made so
            print(number, flush=True)
        elif sock.fileno() in ready:
            break  # only now: what was written before the end has been read
    sock.close()
    #]
    #| # Connect to `place`, be passed the eventfd, and print its numbers until the end.
    #| sys.exit(f"reader {place}: not written yet")


match sys.argv[1:]:
    case ["reader", place]:
        reader(place)
    case _:
        print("usage: reader PLACE", file=sys.stderr)
        sys.exit(2)
