"""Sends each MESSAGE, then says goodbye, then prints all answers, one a line:
talk_client.py tcp|stream|dgram|seqpacket ADDRESS MESSAGE…"""

import socket
import sys

kind, address, *messages = sys.argv[1:]
if kind == "tcp":
    host, port = address.rsplit(":", 1)
    server = socket.create_connection((host.strip("[]"), int(port)))
else:
    server = socket.socket(socket.AF_UNIX, getattr(socket, "SOCK_" + kind.upper()))
    if kind == "dgram":
        server.bind("")  # any abstract name, to be answered at
    server.connect("\0" + address[1:] if address.startswith("@") else address)

if kind in ("dgram", "seqpacket"):
    for message in messages:
        server.send(message.encode())
    if kind == "dgram":
        server.send(b"")
    else:
        server.shutdown(socket.SHUT_WR)
    while answer := server.recv(65536):
        print(answer.decode())
else:
    server.sendall(b"".join(message.encode() + b"\n" for message in messages))
    server.shutdown(socket.SHUT_WR)
    while answers := server.recv(65536):
        print(answers.decode(), end="")
