#!/usr/bin/env python3
"""A Unix socket, bare: socket(2), bind(2), listen(2), accept(2), connect(2), send(2), recv(2).

Wire: a message a line, sent back. shutdown(2) is the end. The server starts first.
Not here: a second client, a name that a killed server left, full sockets.
python3 unix.py server /tmp/u & sleep 1; python3 unix.py client /tmp/u hello world
"""
import os
import sys
from socket import AF_UNIX, MSG_NOSIGNAL, SHUT_WR, SOCK_STREAM, socket


def server(name):
    listener = socket(AF_UNIX, SOCK_STREAM)
    before = os.umask(0o177)  # of the whole process
    listener.bind(name)  # makes the name, mode 0600
    os.umask(before)
    listener.listen(5)  # from now on the kernel connects clients
    client, _ = listener.accept()  # sleeps until a client comes
    while data := client.recv(4096):  # sleeps until data comes
        # MSG_NOSIGNAL: EPIPE, and no SIGPIPE, if the client has left.
        client.send(data, MSG_NOSIGNAL)  # sleeps while the socket is full
    client.close()  # the client's recv returns b""
    listener.close()
    os.unlink(name)


def client(name, *messages):
    sock = socket(AF_UNIX, SOCK_STREAM)
    sock.connect(name)  # sleeps while the backlog is full
    for message in messages:
        sock.send(message.encode() + b"\n")  # sleeps while the socket is full
    sock.shutdown(SHUT_WR)  # the server's recv returns b""
    while data := sock.recv(4096):  # sleeps until data comes
        os.write(1, data)
    sock.close()


match sys.argv[1:]:
    case ["server", name]:
        server(name)
    case ["client", name, *messages]:
        client(name, *messages)
    case _:
        print("usage: unix.py server PLACE | client PLACE MESSAGE...", file=sys.stderr)
        sys.exit(2)
