#!/usr/bin/env python3
"""Many clients in one thread, bare: select(2), and the calls of program unix.

Wire: that of program unix. The server starts first, and ends when its last client has left.
Not here: a bit for descriptor 1024, a client that reads no answer. See chapter multiplex.
python3 multiplex_select.py server /tmp/m & sleep 1; python3 multiplex_select.py client /tmp/m hello
"""
import os
import sys
from select import select
from socket import AF_UNIX, MSG_NOSIGNAL, SHUT_WR, SOCK_STREAM, socket


def server(name):
    listener = socket(AF_UNIX, SOCK_STREAM)
    listener.bind(name)  # makes the name
    listener.listen(5)  # from now on the kernel connects clients
    clients = set()
    while True:
        ready, _, _ = select([listener, *clients], [], [])  # sleeps until a socket is ready
        for sock in ready:
            if sock == listener:
                client, _ = listener.accept()  # ready: neither accept nor recv sleeps
                clients.add(client)
            elif data := sock.recv(4096):
                sock.send(data, MSG_NOSIGNAL)  # sleeps while it is full
            else:
                clients.remove(sock)
                sock.close()  # the client's recv returns b""
        if not clients:
            break
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
        print("usage: multiplex_select.py server PLACE | client PLACE MESSAGE...", file=sys.stderr)
        sys.exit(2)
