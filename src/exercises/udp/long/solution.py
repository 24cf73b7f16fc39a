#!/usr/bin/env python3
"""UDP, with room for any datagram: socket(2), bind(2), connect(2), sendto(2), recvfrom(2), send(2), recv(2).

Wire: `NUMBER LENGTH MESSAGE`, sent back; an empty one is the goodbye. The server starts first.
Not here: a datagram that is lost, two clients. The most that one carries is 65507 bytes.
python3 udp.py server 127.0.0.1:7778 & sleep 1; python3 udp.py client 127.0.0.1:7778 hello
"""
import os
import sys
from socket import AF_INET, SOCK_DGRAM, socket


def server(host, port):
    sock = socket(AF_INET, SOCK_DGRAM)
    sock.bind((host, int(port)))  # from now on the kernel keeps what comes to this port
    while True:
        data, client = sock.recvfrom(65507)  # sleeps until a datagram comes
        sock.sendto(data, client)  # no error tells whether anybody gets it
        if data == b"":
            break  # the client's goodbye, and now it has the server's
    sock.close()


def client(host, port, *messages):
    sock = socket(AF_INET, SOCK_DGRAM)
    sock.connect((host, int(port)))  # nothing is sent: only notes the address, takes a free port
    for number, message in enumerate(messages, 1):
        message = message.encode()
        head = b"%d %d " % (number, len(message))
        sock.send(head + message)
        data = sock.recv(65507)  # sleeps until data comes, or for ever
        os.write(1, data[len(head):] + b"\n")
    sock.send(b"")  # the server's recvfrom returns b""
    sock.recv(65507)  # sleeps until the server's goodbye
    sock.close()


match sys.argv[1:]:
    case ["server", place]:
        server(*place.rsplit(":", 1))
    case ["client", place, *messages]:
        client(*place.rsplit(":", 1), *messages)
    case _:
        print("usage: udp.py server PLACE | client PLACE MESSAGE...", file=sys.stderr)
        sys.exit(2)
