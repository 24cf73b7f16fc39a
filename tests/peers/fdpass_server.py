"""A server for workers, by the standard library: fdpass_server.py SOCKET COUNT

Waits for a worker at SOCKET, then passes COUNT clients to it. Where they connect is in
SOCKET.addr.
"""

import array  # for send_fds and recv_fds, while it may still be read
import os
import socket
import sys

if "PEER_UID" in os.environ:
    os.setgid(int(os.environ["PEER_UID"]))
    os.setuid(int(os.environ["PEER_UID"]))

path, count = sys.argv[1], int(sys.argv[2])
with socket.socket(socket.AF_UNIX) as listener, socket.create_server(("127.0.0.1", 0)) as clients:
    listener.bind(path)
    listener.listen()
    with open(path + ".new", "w") as note:
        print("{}:{}".format(*clients.getsockname()), file=note)
    os.rename(path + ".new", path + ".addr")
    worker, _ = listener.accept()
    for _ in range(count):
        client, _ = clients.accept()
        socket.send_fds(worker, [b"x"], [client.fileno()])
        answer = worker.recv(2, socket.MSG_WAITALL)
        client.close()  # the worker has its own
        print(answer.decode(), flush=True)
    # Before the worker leaves: it would remove them as if they were its own server's.
    os.unlink(path)
    os.unlink(path + ".addr")
