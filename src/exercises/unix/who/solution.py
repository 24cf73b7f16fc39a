#!/usr/bin/env python3
"""Who a client is: socket(2), bind(2), listen(2), accept(2), getsockopt(2), send(2), unix(7).

Wire: the server sends a line, PID UID GID, and closes.
python3 who.py server /tmp/u & sleep 1; ncat -U /tmp/u
"""
import os
import struct
import sys
from socket import AF_UNIX, SO_PEERCRED, SOCK_STREAM, SOL_SOCKET, socket


def server(name):
    #[
    listener = socket(AF_UNIX, SOCK_STREAM)
    listener.bind(name)  # makes the name
    listener.listen(5)  # from now on the kernel connects clients
    client, _ = listener.accept()  # sleeps until a client comes
    # What the kernel wrote down at the client's connect.
    pid, uid, gid = struct.unpack("iII", client.getsockopt(SOL_SOCKET, SO_PEERCRED, 12))
    client.sendall(f"{pid} {uid} {gid}\n".encode())
    client.close()
    listener.close()
    os.unlink(name)
    #]
    #| # Make the socket `name`, accept a client, tell it who it is, and remove the name.
    #| sys.exit(f"server {name}: not written yet")


match sys.argv[1:]:
    case ["server", name]:
        server(name)
    case _:
        print("usage: who.py server PLACE", file=sys.stderr)
        sys.exit(2)
