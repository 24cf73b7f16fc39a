#!/usr/bin/env python3
"""A server that finds its socket, or makes one: sd_listen_fds(3), bind(2), listen(2), accept(2).

Wire: the server sends a line, and closes.
python3 tcp.py server 127.0.0.1:7777 hello & sleep 1; nc 127.0.0.1 7777
"""
import os
import sys
#[
from socket import SO_ACCEPTCONN, SOL_SOCKET
#]
from socket import create_server, socket


def listener(host, port):
    #[
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        given = socket(fileno=3)
        if not given.getsockopt(SOL_SOCKET, SO_ACCEPTCONN):
            sys.exit("descriptor 3 does not listen")
        given.set_inheritable(False)  # it is not for what this process may start
        return given
    #]
    return create_server((host, int(port)))


def server(host, port, message):
    with listener(host, port) as sock:
        client, _ = sock.accept()  # sleeps until a client comes
        client.sendall(message.encode() + b"\n")
        client.close()  # the client's recv returns b""


match sys.argv[1:]:
    case ["server", place, message]:
        server(*place.rsplit(":", 1), message)
    case _:
        print("usage: tcp.py server PLACE MESSAGE", file=sys.stderr)
        sys.exit(2)
