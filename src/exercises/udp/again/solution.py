#!/usr/bin/env python3
"""UDP, bare, whose client sends again: socket(2), bind(2), connect(2), sendto(2), recvfrom(2).

Wire: `NUMBER LENGTH MESSAGE`, sent back; an empty one is the goodbye. The server starts first.
Not here: a message that is carried out twice, more than 4096 bytes, two clients.
python3 udp.py server 127.0.0.1:7778 & sleep 1; python3 udp.py client 127.0.0.1:7778 hello
"""
import os
import sys
from socket import AF_INET, SOCK_DGRAM, socket


def server(host, port):
    sock = socket(AF_INET, SOCK_DGRAM)
    sock.bind((host, int(port)))  # from now on the kernel keeps what comes to this port
    while True:
        data, client = sock.recvfrom(4096)  # sleeps until a datagram comes
        sock.sendto(data, client)  # no error tells whether anybody gets it
        if data == b"":
            break  # the client's goodbye, and now it has the server's
    sock.close()


def ask(sock, datagram, is_answer):
    """Sends the datagram until its answer comes, which is returned."""
    sock.settimeout(0.25)
    for tries in range(8):
        sock.send(datagram)
        try:
            while True:
                data = sock.recv(4096)  # sleeps until data comes, or the time is over
                if is_answer(data):
                    return data
        except TimeoutError:
            pass  # the datagram was lost, or the answer: who knows?
    sys.exit("no answer: is the server gone?")


def client(host, port, *messages):
    sock = socket(AF_INET, SOCK_DGRAM)
    sock.connect((host, int(port)))  # nothing is sent: only notes the address, takes a free port
    for number, message in enumerate(messages, 1):
        message = message.encode()
        head = b"%d %d " % (number, len(message))
        data = ask(sock, head + message, lambda data: data.startswith(head))
        os.write(1, data[len(head):] + b"\n")
    ask(sock, b"", lambda data: data == b"")  # the server's recvfrom returns b""
    sock.close()


match sys.argv[1:]:
    case ["server", place]:
        server(*place.rsplit(":", 1))
    case ["client", place, *messages]:
        client(*place.rsplit(":", 1), *messages)
    case _:
        print("usage: udp.py server PLACE | client PLACE MESSAGE...", file=sys.stderr)
        sys.exit(2)
