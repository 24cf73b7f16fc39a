#!/usr/bin/env python3
"""One to many: poll(2), accept(2), read(2), send(2).

python3 publish.py publish /tmp/p & nc -U /tmp/p
"""
import os
import select
import sys
#[
from socket import MSG_DONTWAIT
#]
from socket import AF_UNIX, MSG_NOSIGNAL, SOCK_STREAM, socket


def tell(client, lines):
    """Whether the client has got all of it."""
    #[
    try:
        # MSG_DONTWAIT: EAGAIN, or a part, and no sleep, if there is no room.
        return client.send(lines, MSG_DONTWAIT | MSG_NOSIGNAL) == len(lines)
    except OSError:
        return False
    #]
    #| client.sendall(lines, MSG_NOSIGNAL)  # sleeps while there is no room
    #| return True


def publish(name):
    listener = socket(AF_UNIX, SOCK_STREAM)
    listener.bind(name)
    listener.listen(100)
    clients, begun = [], b""
    waiting = select.poll()
    waiting.register(0, select.POLLIN)
    waiting.register(listener, select.POLLIN)
    while True:
        for fd, _ in waiting.poll():  # sleeps until there are lines, or a client
            if fd != 0:
                clients.append(listener.accept()[0])
                continue
            data = os.read(0, 65536)
            if not data:
                os.unlink(name)
                return
            *lines, begun = (begun + data).split(b"\n")
            whole = b"".join(line + b"\n" for line in lines)
            for client in clients[:]:
                if not tell(client, whole):
                    clients.remove(client)
                    client.close()


match sys.argv[1:]:
    case ["publish", name]:
        publish(name)
    case _:
        print("usage: publish PLACE", file=sys.stderr)
        sys.exit(2)
