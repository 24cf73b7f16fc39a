#!/usr/bin/env python3
"""TCP, a child process for each client, bare: fork(2), waitpid(2), and the calls of program tcp.

Wire: a message a line, sent back. shutdown(2) is the end. The server starts first.
Not here: a server that is killed.
python3 tcp_fork.py server 127.0.0.1:7777 1 &
sleep 1; python3 tcp_fork.py client 127.0.0.1:7777 hello world
"""
import os
import signal
import sys
from contextlib import suppress
from socket import (AF_INET, MSG_NOSIGNAL, SHUT_WR, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET,
                    socket)


def server(host, port, clients=-1):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no child becomes a zombie
    listener = socket(AF_INET, SOCK_STREAM)
    # SO_REUSEADDR: or bind fails while a connection of an earlier server is in TIME_WAIT.
    listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    listener.bind((host, int(port)))
    listener.listen(5)  # from now on the kernel connects clients
    while clients != 0:  # -1: for ever
        client, _ = listener.accept()  # sleeps until a client comes
        if os.fork() == 0:
            listener.close()
            while data := client.recv(4096):  # sleeps until data comes
                # MSG_NOSIGNAL: EPIPE, and no SIGPIPE, if the client has left.
                client.send(data, MSG_NOSIGNAL)  # sleeps while it is full
            os._exit(0)  # and close: the client's recv returns b""
        client.close()  # or the client's recv would not return b""
        clients -= 1
    listener.close()  # a later client is refused
    with suppress(ChildProcessError):  # ECHILD: all have
        while True:
            os.waitpid(-1, 0)  # sleeps until all children have ended


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
        print("usage: tcp_fork.py server PLACE [CLIENTS] | "
              "client PLACE MESSAGE...", file=sys.stderr)
        sys.exit(2)
