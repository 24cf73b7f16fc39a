#!/usr/bin/env python3
"""A server that closes first: socket(2), setsockopt(2), bind(2), listen(2), accept(2), send(2).

Wire: the server sends a line, and closes.
python3 tcp.py server 127.0.0.1:7777 hello & sleep 1; python3 tcp.py client 127.0.0.1:7777
"""
import os
import sys
#[
from socket import SO_REUSEADDR, SOL_SOCKET
#]
from socket import AF_INET, SOCK_STREAM, socket


def server(host, port, message):
    listener = socket(AF_INET, SOCK_STREAM)
    #[
    # bind takes an address of which only connections in TIME_WAIT are left.
    listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    #]
    listener.bind((host, int(port)))
    listener.listen(5)  # from now on the kernel connects clients
    client, _ = listener.accept()  # sleeps until a client comes
    client.sendall(message.encode() + b"\n")
    client.close()  # the client's recv returns b""
    listener.close()


def client(host, port):
    sock = socket(AF_INET, SOCK_STREAM)
    sock.connect((host, int(port)))  # sleeps until the host answers
    while data := sock.recv(4096):  # sleeps until data comes
        os.write(1, data)
    sock.close()


match sys.argv[1:]:
    case ["server", place, message]:
        server(*place.rsplit(":", 1), message)
    case ["client", place]:
        client(*place.rsplit(":", 1))
    case _:
        print("usage: tcp.py server PLACE MESSAGE | client PLACE", file=sys.stderr)
        sys.exit(2)
