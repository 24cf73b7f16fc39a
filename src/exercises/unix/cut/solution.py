#!/usr/bin/env python3
"""Datagrams on a Unix socket, bare: socket(2), bind(2), connect(2), sendto(2), recvfrom(2).

Wire: a message a datagram, sent back. An empty one is the goodbye. The server starts first.
Not here: a peer that is killed, two clients.
python3 unix_dgram.py server /tmp/u & sleep 1; python3 unix_dgram.py client /tmp/u hello world
"""
import os
import sys
from socket import AF_UNIX, MSG_PEEK, MSG_TRUNC, SOCK_DGRAM, socket


def receive(sock):
    """A datagram of any length, and who sent it."""
    # MSG_TRUNC: the datagram's own length. MSG_PEEK: it stays in the queue. No byte is copied.
    length = sock.recv_into(bytearray(1), 1, MSG_PEEK | MSG_TRUNC)  # sleeps until data comes
    return sock.recvfrom(length + 1)


def server(name):
    sock = socket(AF_UNIX, SOCK_DGRAM)
    sock.bind(name)  # makes the name
    while True:
        data, client = receive(sock)  # sleeps until a client sends
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
        data, _ = receive(sock)  # sleeps until data comes
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
