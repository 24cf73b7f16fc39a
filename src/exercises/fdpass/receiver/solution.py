#!/usr/bin/env python3
"""Files that are received: socket(2), connect(2), recvmsg(2), SCM_RIGHTS of unix(7)."""
#[
import os
import struct
from socket import AF_UNIX, CMSG_LEN, MSG_CMSG_CLOEXEC, SOCK_STREAM, socket
#]
import sys


def receiver(place):
    #[
    sock = socket(AF_UNIX, SOCK_STREAM)
    sock.connect(place)
    while True:
        byte, rights, *_ = sock.recvmsg(1, CMSG_LEN(4), MSG_CMSG_CLOEXEC)  # sleeps
        if byte == b"":
            break  # the other process has closed its end
        if rights:
            (fd,) = struct.unpack("i", rights[0][2])
            while data := os.read(fd, 65536):  # a pipe: sleeps while it is empty
                while data:
                    data = data[os.write(1, data):]
            os.close(fd)
    sock.close()
    #]
    #| # Connect to `place`, and print each file that is passed with a byte x.
    #| sys.exit(f"receiver {place}: not written yet")


match sys.argv[1:]:
    case ["receiver", place]:
        receiver(place)
    case _:
        print("usage: receiver PLACE", file=sys.stderr)
        sys.exit(2)
