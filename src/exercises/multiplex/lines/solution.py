#!/usr/bin/env python3
"""Lines of many clients: poll(2), and the calls of program unix.

Wire: a line, and a line back with its length. The server ends when its last client has left.
python3 lines.py server /tmp/m & sleep 1; ncat -U /tmp/m
"""
import os
import select
import sys
from socket import AF_UNIX, SOCK_STREAM, socket


def server(name):
    listener = socket(AF_UNIX, SOCK_STREAM)
    listener.bind(name)  # makes the name
    listener.listen(5)  # from now on the kernel connects clients
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    clients = {}
    #[
    lengths = {}
    #]
    while True:
        for fd, _ in poll.poll():  # sleeps until a socket is ready
            if fd == listener.fileno():
                client, _ = listener.accept()  # ready: neither accept nor the first recv sleeps
                poll.register(client, select.POLLIN)
                clients[client.fileno()] = client
                #[
                lengths[client.fileno()] = 0  # of its line so far
                #]
                continue
            answers = b""
            #[
            data = clients[fd].recv(4096)  # once: a second recv could sleep
            for byte in data:
                if byte == ord("\n"):
                    answers += f"{lengths[fd]}\n".encode()
                    lengths[fd] = 0
                else:
                    lengths[fd] += 1
            #]
            #| data = clients[fd].recv(1)
            #| while data and not data.endswith(b"\n"):
            #|     byte = clients[fd].recv(1)
            #|     if not byte:
            #|         break
            #|     data += byte
            #| if data.endswith(b"\n"):
            #|     answers = f"{len(data) - 1}\n".encode()
            if data:
                clients[fd].sendall(answers)  # sleeps while it is full
            else:
                poll.unregister(fd)
                clients.pop(fd).close()  # the client's recv returns b""
        if not clients:
            break
    listener.close()
    os.unlink(name)


match sys.argv[1:]:
    case ["server", name]:
        server(name)
    case _:
        print("usage: lines.py server PLACE", file=sys.stderr)
        sys.exit(2)
