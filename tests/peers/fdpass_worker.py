"""A worker, by the standard library: fdpass_worker.py SOCKET HOW

HOW is `serve`, or a way to be a bad worker: `halves` sends O and K apart; `silent` takes
the descriptor and never answers, until it is cut off, when it tries; `garbage` answers
NO; `dies` takes it and leaves.
"""

import array  # for send_fds and recv_fds, while it may still be read
import os
import socket
import sys

if "PEER_UID" in os.environ:
    os.setgid(int(os.environ["PEER_UID"]))
    os.setuid(int(os.environ["PEER_UID"]))

path, how = sys.argv[1:]
with socket.socket(socket.AF_UNIX) as server:
    server.connect(path)
    print("ready", flush=True)
    while True:
        message, descriptors, flags, _ = socket.recv_fds(server, 1, 1)
        if not message:
            break
        assert (message, len(descriptors)) == (b"x", 1), (message, descriptors)
        print("taken", flush=True)
        if how == "dies":
            break
        if how == "garbage":
            server.sendall(b"NO")
            continue
        if how == "silent":
            print("end of stream", server.recv(1), flush=True)
            try:
                server.sendall(b"OK")
            except BrokenPipeError:
                print("EPIPE", flush=True)
            break
        if how == "halves":
            server.sendall(b"O")
            server.sendall(b"K")
        else:
            server.sendall(b"OK")
        with socket.socket(fileno=descriptors[0]) as client:
            while part := client.recv(65536):
                client.sendall(part)
