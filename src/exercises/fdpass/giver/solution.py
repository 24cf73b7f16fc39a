#!/usr/bin/env python3
"""Files that are passed on: socket(2), connect(2), open(2), sendmsg(2), SCM_RIGHTS of unix(7)."""
#[
import struct
from socket import AF_UNIX, MSG_NOSIGNAL, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket
#]
import sys


def giver(place, files):
    #[
    sock = socket(AF_UNIX, SOCK_STREAM)
    sock.connect(place)
    for name in files:
        with open(name, "rb") as file:
            rights = [(SOL_SOCKET, SCM_RIGHTS, struct.pack("i", file.fileno()))]
            sock.sendmsg([b"x"], rights, MSG_NOSIGNAL)  # sleeps while the socket is full
        # closed here: the one in flight keeps the file open
    sock.close()
    #]
    #| # Connect to `place`, and pass each of `files`, opened, with a byte x.
    #| sys.exit(f"giver {place} {files}: not written yet")


match sys.argv[1:]:
    case ["giver", place, *files]:
        giver(place, files)
    case _:
        print("usage: giver PLACE FILE...", file=sys.stderr)
        sys.exit(2)
