#!/usr/bin/env python3
"""Files that are received, one a message: socket(2), connect(2), recvmsg(2), SCM_RIGHTS of unix(7)."""
import os
import struct
#[
from socket import AF_UNIX, CMSG_LEN, MSG_CMSG_CLOEXEC, MSG_CTRUNC, SOCK_STREAM, socket
#]
#| from socket import AF_UNIX, CMSG_SPACE, MSG_CMSG_CLOEXEC, SOCK_STREAM, socket
import sys


def show(fd):
    while data := os.read(fd, 65536):  # a pipe: sleeps while it is empty
        while data:
            data = data[os.write(1, data):]


def receiver(place):
    sock = socket(AF_UNIX, SOCK_STREAM)
    sock.connect(place)
    while True:
        #[
        byte, rights, flags, _ = sock.recvmsg(1, CMSG_LEN(253 * 4), MSG_CMSG_CLOEXEC)  # sleeps
        #]
        #| byte, rights, flags, _ = sock.recvmsg(1, CMSG_SPACE(4), MSG_CMSG_CLOEXEC)  # sleeps
        if byte == b"":
            break  # the other process has closed its end
        fds = [fd for _, _, data in rights for (fd,) in struct.iter_unpack("i", data)]
        #[
        if len(fds) == 1 and not flags & MSG_CTRUNC:
            show(fds[0])
        for fd in fds:
            os.close(fd)  # whoever refuses them has them, too
        #]
        #| if fds:
        #|     show(fds[0])
        #|     os.close(fds[0])
    sock.close()


match sys.argv[1:]:
    case ["receiver", place]:
        receiver(place)
    case _:
        print("usage: receiver PLACE", file=sys.stderr)
        sys.exit(2)
