"""A peer of the multiprocessing protocol by hand: fdpass_handshake.py SIDE FORM SOCKET [KEY]

SIDE is `worker` or `server`. FORM is `old`, as Python up to 3.11 does it, or `new`, as
from 3.12 on, whatever version runs this. Without KEY there is no handshake. A worker
takes one connection and sends its echo; a server passes one end of a socketpair and wants
an echo there.
"""

import array  # for send_fds and recv_fds, while it may still be read
import hmac
import os
import pickle
import socket
import struct
import sys

side, form, path = sys.argv[1:4]
key = sys.argv[4].encode() if sys.argv[4:] else None


def send(peer, payload):
    peer.sendall(struct.pack("!i", len(payload)) + payload)


def receive(peer):
    (size,) = struct.unpack("!i", peer.recv(4, socket.MSG_WAITALL))
    return peer.recv(size, socket.MSG_WAITALL) if size else b""


def challenge(peer):
    message = os.urandom(20) if form == "old" else b"{sha256}" + os.urandom(40)
    send(peer, b"#CHALLENGE#" + message)
    answer = receive(peer)
    name, right = (b"", "md5") if form == "old" else (b"{sha256}", "sha256")
    right = name + hmac.digest(key, message, right)
    send(peer, b"#WELCOME#" if answer == right else b"#FAILURE#")
    print("it has proved" if answer == right else "it has not proved", flush=True)


def answer(peer):
    message = receive(peer)
    assert message.startswith(b"#CHALLENGE#"), message
    message = message[len(b"#CHALLENGE#"):]
    if form == "old":
        send(peer, hmac.digest(key, message, "md5"))
    else:
        assert message.startswith(b"{sha256}"), message
        send(peer, b"{sha256}" + hmac.digest(key, message, "sha256"))
    verdict = receive(peer)
    print(verdict.decode(), flush=True)
    if verdict != b"#WELCOME#":
        sys.exit()


if side == "worker":
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        if key:
            answer(server)
            challenge(server)
        send(server, pickle.dumps(os.getpid(), protocol=4))
        byte, descriptors, flags, _ = socket.recv_fds(server, 1, 1)
        assert (byte, len(descriptors)) == (b"\1", 1), (byte, descriptors)
        with socket.socket(fileno=descriptors[0]) as client:
            while part := client.recv(65536):
                client.sendall(part)
else:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        worker, _ = listener.accept()
        if key:
            challenge(worker)
            answer(worker)
        print("pid", pickle.loads(receive(worker)), flush=True)
        ours, theirs = socket.socketpair()
        socket.send_fds(worker, [b"\1"], [theirs.fileno()])
        theirs.close()
        ours.sendall(b"hello\n")
        print(ours.recv(6, socket.MSG_WAITALL), flush=True)
        os.unlink(path)
