#!/usr/bin/env python3
"""TCP, one client after another, bare: accept(2) in a loop, and the calls of program tcp.

Wire: a message a line, sent back. shutdown(2) is the end. The server starts first.
Not here: two clients at once, host names, IPv6.
python3 tcp_iterative.py server 127.0.0.1:7777 1 &
sleep 1; python3 tcp_iterative.py client 127.0.0.1:7777 hello world
"""
import os
import sys
from socket import AF_INET, SHUT_WR, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, socket


def serve(client):
    while data := client.recv(4096):  # sleeps until data comes
        client.sendall(data)  # sleeps while the socket is full


def server(host, port, clients=-1):
    listener = socket(AF_INET, SOCK_STREAM)
    # SO_REUSEADDR: or bind fails while a connection of an earlier server is in TIME_WAIT.
    listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    listener.bind((host, int(port)))
    listener.listen(5)  # from now on the kernel connects clients
    while clients != 0:  # -1: for ever
        client, _ = listener.accept()  # sleeps until a client comes
        try:
            serve(client)
        except (ConnectionResetError, BrokenPipeError) as error:
            print(f"a client was lost: {error}", file=sys.stderr)
        client.close()  # the client's recv returns b""
        clients -= 1
    listener.close()


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
    case ["server", place]:
        server(*place.rsplit(":", 1))
    case ["server", place, clients] if clients.isdecimal() and int(clients) > 0:
        server(*place.rsplit(":", 1), int(clients))
    case ["client", place, *messages]:
        client(*place.rsplit(":", 1), *messages)
    case _:
        print("usage: tcp_iterative.py server PLACE [CLIENTS] | "
              "client PLACE MESSAGE...", file=sys.stderr)
        sys.exit(2)
