#!/usr/bin/env python3
"""A lock server: socket(2), accept(2), recv(2), send(2), select(2), unlink(2).

python3 locks.py server /tmp/locks
"""
import os
#[
import select
#]
import signal
import sys
from socket import AF_UNIX, SOCK_STREAM, socket


def server(place):
    listener = socket(AF_UNIX, SOCK_STREAM)
    listener.bind(place)
    listener.listen(64)

    def end(*_):
        os.unlink(place)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    #[
    queues = {}  # a lock's clients: the first has it
    pending = {}  # what a client has sent of its next request

    def send(client, answer):
        try:
            client.send(answer)
        except OSError:
            pass  # it has gone: the next recv tells

    def leave(client, name):
        was_first = queues[name][0] is client
        queues[name].remove(client)
        if not queues[name]:
            del queues[name]
        elif was_first:
            send(queues[name][0], b"ok\n")

    def do(client, request):
        verb, name = request.split(b" ")
        queue = queues.get(name)
        if verb == b"lock":
            queue = queues.setdefault(name, [])
            queue.append(client)
            if queue[0] is client:
                send(client, b"ok\n")
        elif not queue or queue[0] is not client:
            send(client, b"no\n")
        else:
            send(client, b"ok\n")
            leave(client, name)

    def received(client, data):
        pending[client] += data
        while b"\n" in pending[client]:
            request, _, pending[client] = pending[client].partition(b"\n")
            do(client, request)

    def gone(client):
        del pending[client]
        for name in list(queues):
            if client in queues[name]:
                leave(client, name)
        client.close()

    while True:
        ready, _, _ = select.select([listener, *pending], [], [])  # sleeps
        for client in ready:
            if client is listener:
                pending[listener.accept()[0]] = b""
                continue
            try:
                data = client.recv(4096)
            except OSError:
                data = b""
            if data == b"":
                gone(client)
            else:
                received(client, data)
    #]
    #| while True:
    #|     client, _ = listener.accept()
    #|     with client, client.makefile("r") as lines:
    #|         for line in lines:
    #|             client.send(b"ok\n")  # and now?


match sys.argv[1:]:
    case ["server", place]:
        server(place)
    case _:
        print("usage: server PLACE", file=sys.stderr)
        sys.exit(2)
