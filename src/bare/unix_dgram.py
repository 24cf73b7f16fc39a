#!/usr/bin/env python3
"""Datagrams on a Unix socket, bare: socket(2), bind(2), connect(2), sendto(2), recvfrom(2).

Wire: a message a datagram, sent back. An empty one is the goodbye. The server starts first.
Not here: a peer that is killed, more than 4096 bytes, two clients. See chapter unix.
python3 unix_dgram.py server /tmp/u & sleep 1; python3 unix_dgram.py client /tmp/u hello world
"""
import os
import sys
from socket import AF_UNIX, SOCK_DGRAM, socket


def server(name):
    sock = socket(AF_UNIX, SOCK_DGRAM)
    sock.bind(name)  # makes the name
    while True:
        data, client = sock.recvfrom(4096)  # sleeps until a client sends
        sock.sendto(data, client)  # sleeps while the client's queue is full
        if data == b"":
            break  # the client's goodbye, and now it has the server's
    sock.close()
    os.unlink(name)


def client(name, *messages):
    sock = socket(AF_UNIX, SOCK_DGRAM)
    sock.bind("")  # the kernel chooses a name
    sock.connect(name)  # no sleep: only notes the address
    for message in messages:
        sock.send(message.encode())  # sleeps while the server's queue is full
        data = sock.recv(4096)  # sleeps until data comes
        os.write(1, data + b"\n")
    sock.send(b"")  # the server's recvfrom returns b""
    sock.recv(4096)  # sleeps until the server's goodbye
    sock.close()


match sys.argv[1:]:
    case ["server", name]:
        server(name)
    case ["client", name, *messages]:
        client(name, *messages)
    case _:
        print("usage: unix_dgram.py server PLACE | client PLACE MESSAGE...", file=sys.stderr)
        sys.exit(2)
