#!/usr/bin/env python3
"""A connection passed to another process, bare: sendmsg(2), recvmsg(2), SCM_RIGHTS of unix(7).

Wire: the byte x with a descriptor, then OK. The client's: program tcp's. The server is first.
Not here: a worker that ends without its OK, two workers, two clients. See chapter fdpass.
python3 fdpass.py server /tmp/s 127.0.0.1:7777 & sleep 1; python3 fdpass.py worker /tmp/s &
python3 fdpass.py client 127.0.0.1:7777 hello world
"""
import os
import struct
import sys
from socket import (AF_INET, AF_UNIX, CMSG_LEN, MSG_CMSG_CLOEXEC, MSG_NOSIGNAL, MSG_WAITALL,
                    SCM_RIGHTS, SHUT_WR, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, socket)


def server(name, host, port):
    workers = socket(AF_UNIX, SOCK_STREAM)
    workers.bind(name)  # makes the name
    workers.listen(5)  # from now on the kernel connects workers
    clients = socket(AF_INET, SOCK_STREAM)
    # SO_REUSEADDR: or bind fails while a connection of an earlier server is in TIME_WAIT.
    clients.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    clients.bind((host, int(port)))
    clients.listen(5)  # from now on the kernel connects clients
    worker, _ = workers.accept()  # sleeps until a worker comes
    client, _ = clients.accept()  # sleeps until a client comes
    rights = [(SOL_SOCKET, SCM_RIGHTS, struct.pack("i", client.fileno()))]
    # MSG_NOSIGNAL: EPIPE, and no SIGPIPE, if the worker has left.
    worker.sendmsg([b"x"], rights, MSG_NOSIGNAL)  # sleeps while the socket is full
    worker.recv(2, MSG_WAITALL)  # sleeps until OK: it has a copy
    client.close()  # the worker's copy keeps the connection open
    worker.close()  # the worker's recvmsg returns b""
    clients.close()
    workers.close()
    os.unlink(name)


def worker(name):
    sock = socket(AF_UNIX, SOCK_STREAM)
    sock.connect(name)  # sleeps while the backlog is full
    while True:
        # MSG_CMSG_CLOEXEC: no program that this one starts inherits the descriptor.
        x, rights, *_ = sock.recvmsg(1, CMSG_LEN(4), MSG_CMSG_CLOEXEC)  # sleeps until x comes
        if x == b"":
            break  # the server has left
        if rights == []:
            continue
        # CMSG_LEN(4) has room for one: the kernel closes any other.
        (fd,) = struct.unpack("i", rights[0][2])
        client = socket(fileno=fd)  # another number than the server's, of the same open socket
        sock.send(b"OK", MSG_NOSIGNAL)  # the server's recv returns
        while data := client.recv(4096):  # sleeps until data comes
            client.send(data, MSG_NOSIGNAL)  # sleeps while the socket is full
        client.close()  # the last copy: the client's recv returns b""
    sock.close()


def client(host, port, *messages):
    sock = socket(AF_INET, SOCK_STREAM)
    sock.connect((host, int(port)))  # sleeps until the host answers
    for message in messages:
        sock.send(message.encode() + b"\n")  # sleeps while the socket is full
    sock.shutdown(SHUT_WR)  # the server's recv returns b""
    while data := sock.recv(4096):  # sleeps until data comes
        os.write(1, data)
    sock.close()


match sys.argv[1:]:
    case ["server", name, place]:
        server(name, *place.rsplit(":", 1))
    case ["worker", name]:
        worker(name)
    case ["client", place, *messages]:
        client(*place.rsplit(":", 1), *messages)
    case _:
        print("usage: fdpass.py server PLACE ADDRESS | worker PLACE | "
              "client ADDRESS MESSAGE...", file=sys.stderr)
        sys.exit(2)
