#!/usr/bin/env python3
"""A server of UDP that does once what it is told twice: socket(2), bind(2), recvfrom(2), sendto(2).

Wire: `NUMBER LENGTH MESSAGE`, sent back. A signal ends the server.
python3 once.py server 127.0.0.1:7778 & sleep 1; printf '1 2 hi' | nc -u -w1 127.0.0.1 7778
"""
import os
import sys
from socket import AF_INET, SOCK_DGRAM, socket


def server(host, port):
    sock = socket(AF_INET, SOCK_DGRAM)
    sock.bind((host, int(port)))  # from now on the kernel keeps what comes to this port
    #[
    last = {}  # the last number of each client
    #]
    while True:
        data, client = sock.recvfrom(65536)  # sleeps until a datagram comes
        number, length, message = data.split(b" ", 2)
        #[
        if len(message) != int(length):
            continue  # it was cut
        number, known = int(number), last.get(client, 0)
        if number < known:
            continue  # it was overtaken
        if number > known:
            os.write(1, message + b"\n")
        last[client] = number
        #]
        #| os.write(1, message + b"\n")
        sock.sendto(data, client)


match sys.argv[1:]:
    case ["server", place]:
        server(*place.rsplit(":", 1))
    case _:
        print("usage: once.py server PLACE", file=sys.stderr)
        sys.exit(2)
