#!/usr/bin/env python3
"""A question over TCP, and its answer: socket(2), connect(2), send(2), recv(2).

Wire: the question, which the server knows the end of; then a line, the answer.
python3 silent.py client 127.0.0.1:7777 1000 <question
"""
import os
import sys
from socket import AF_INET, SOCK_STREAM, socket
#[
from time import monotonic


def limit(sock, deadline):
    """The next call of the socket may take what is left until the deadline."""
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError("the time is over")
    sock.settimeout(left)
#]


def client(host, port, milliseconds):
    #[
    deadline = monotonic() + milliseconds / 1000
    #]
    question = sys.stdin.buffer.read()
    sock = socket(AF_INET, SOCK_STREAM)
    #[
    limit(sock, deadline)
    #]
    sock.connect((host, int(port)))  # sleeps until the host answers
    while question:
        #[
        limit(sock, deadline)
        #]
        sent = sock.send(question)  # sleeps while the socket is full
        question = question[sent:]
    answer = b""
    while not answer.endswith(b"\n"):
        #[
        limit(sock, deadline)
        #]
        data = sock.recv(4096)  # sleeps until data comes
        if not data:
            sys.exit("the server has left")
        answer += data
    sock.close()
    os.write(1, answer)


match sys.argv[1:]:
    case ["client", place, milliseconds]:
        try:
            client(*place.rsplit(":", 1), int(milliseconds))
        except OSError as error:
            sys.exit(f"no answer: {error}")
    case _:
        print("usage: silent.py client PLACE MILLISECONDS", file=sys.stderr)
        sys.exit(2)
