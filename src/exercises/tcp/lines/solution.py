#!/usr/bin/env python3
"""Lines over TCP: socket(2), bind(2), listen(2), accept(2), recv(2), send(2).

Wire: a line, and a line back with its length. shutdown(2) is the end.
python3 lines.py server 127.0.0.1:7777 & sleep 1; ncat 127.0.0.1 7777
"""
import sys
from socket import AF_INET, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, socket


def server(host, port):
    listener = socket(AF_INET, SOCK_STREAM)
    # SO_REUSEADDR: or bind fails while a connection of an earlier server is in TIME_WAIT.
    listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    listener.bind((host, int(port)))
    listener.listen(5)  # from now on the kernel connects clients
    client, _ = listener.accept()  # sleeps until a client comes
    #[
    length = 0  # of the line so far: recv knows nothing of lines
    while data := client.recv(4096):  # sleeps until data comes
        for byte in data:
            if byte == ord("\n"):
                client.sendall(f"{length}\n".encode())  # sleeps while the socket is full
                length = 0
            else:
                length += 1
    #]
    #| # For each line, send its length and a newline.
    client.close()  # the client's recv returns b""
    listener.close()


match sys.argv[1:]:
    case ["server", place]:
        server(*place.rsplit(":", 1))
    case _:
        print("usage: lines.py server PLACE", file=sys.stderr)
        sys.exit(2)
