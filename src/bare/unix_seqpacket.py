#!/usr/bin/env python3
"""Packets on a Unix socket, bare: socket(2), SOCK_SEQPACKET, and the calls of program unix.

Wire: a message a packet, sent back; simpler than the role's: no empty one. The server is first.
Not here: more than 4096 bytes, a second client, a client that is killed. See chapter unix.
python3 unix_seqpacket.py server /tmp/u & sleep 1; python3 unix_seqpacket.py client /tmp/u hello
"""
import os
import sys
from socket import AF_UNIX, MSG_NOSIGNAL, SHUT_WR, SOCK_SEQPACKET, socket


def server(name):
    listener = socket(AF_UNIX, SOCK_SEQPACKET)
    listener.bind(name)  # makes the name
    listener.listen(5)  # from now on the kernel connects clients
    client, _ = listener.accept()  # sleeps until a client comes
    while data := client.recv(4096):  # sleeps until data comes
        # MSG_NOSIGNAL: EPIPE, and no SIGPIPE, if the client has left.
        client.send(data, MSG_NOSIGNAL)  # sleeps while the socket is full
    client.close()  # the client's recv returns b""
    listener.close()
    os.unlink(name)


def client(name, *messages):
    sock = socket(AF_UNIX, SOCK_SEQPACKET)
    sock.connect(name)  # sleeps while the backlog is full
    for message in messages:
        sock.send(message.encode(), MSG_NOSIGNAL)  # sleeps while the socket is full
        data = sock.recv(4096)  # sleeps until data comes
        os.write(1, data + b"\n")
    sock.shutdown(SHUT_WR)  # the server's recv returns b""
    sock.recv(4096)  # sleeps until the server's close
    sock.close()


match sys.argv[1:]:
    case ["server", name]:
        server(name)
    case ["client", name, *messages]:
        client(name, *messages)
    case _:
        print("usage: unix_seqpacket.py server PLACE | client PLACE MESSAGE...", file=sys.stderr)
        sys.exit(2)
