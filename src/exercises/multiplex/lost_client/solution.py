#!/usr/bin/env python3
"""Many clients in one thread, bare: poll(2), and the calls of program unix.

Wire: that of program unix. The server starts first, and ends when its last client has left.
Not here: a client that reads no answer.
python3 multiplex.py server /tmp/m & sleep 1; python3 multiplex.py client /tmp/m hello
"""
import os
import select
import sys
from socket import AF_UNIX, MSG_NOSIGNAL, SHUT_WR, SOCK_STREAM, socket


def server(name):
    listener = socket(AF_UNIX, SOCK_STREAM)
    listener.bind(name)  # makes the name
    listener.listen(5)  # from now on the kernel connects clients
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    clients = {}
    while True:
        for fd, _ in poll.poll():  # sleeps until a socket is ready
            if fd == listener.fileno():
                client, _ = listener.accept()  # ready: neither accept nor recv sleeps
                poll.register(client, select.POLLIN)
                clients[client.fileno()] = client
            else:
                try:
                    if data := clients[fd].recv(4096):
                        clients[fd].send(data, MSG_NOSIGNAL)  # sleeps while it is full
                except (ConnectionResetError, BrokenPipeError):
                    data = b""  # this client is lost, and the others are not
                if not data:
                    poll.unregister(fd)
                    clients.pop(fd).close()  # the client's recv returns b""
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
        print("usage: multiplex.py server PLACE | client PLACE MESSAGE...", file=sys.stderr)
        sys.exit(2)
