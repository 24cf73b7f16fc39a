"""Serves one client: talk_server.py tcp|stream|dgram|seqpacket ADDRESS; answers in upper case."""

import socket
import sys

kind, address = sys.argv[1:]
if kind == "tcp":
    listener = socket.create_server(("127.0.0.1", 0))
    print("%s:%d" % listener.getsockname(), flush=True)
else:
    name = "\0" + address[1:] if address.startswith("@") else address
    listener = socket.socket(socket.AF_UNIX, getattr(socket, "SOCK_" + kind.upper()))
    listener.bind(name)
    if kind != "dgram":
        listener.listen()
    print("ready", flush=True)

if kind == "dgram":
    while True:
        message, client = listener.recvfrom(65536)
        listener.sendto(message.upper(), client)  # the goodbye too: it is empty
        if not message:
            break
elif kind == "seqpacket":
    connection, _ = listener.accept()
    while message := connection.recv(65536):
        connection.send(message.upper())
else:
    connection, _ = listener.accept()
    with connection.makefile("rwb", buffering=0) as lines:
        for line in lines:
            lines.write(line.upper())
