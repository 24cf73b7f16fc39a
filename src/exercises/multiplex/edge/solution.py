#!/usr/bin/env python3
"""Edge-triggered: epoll(7), EPOLLET, and the calls of program unix.

Wire: that of program unix. The server ends when its last client has left.
python3 edge.py server /tmp/m & sleep 1; ncat -U /tmp/m
"""
import os
import select
import sys
#[
from contextlib import suppress
from socket import MSG_DONTWAIT
#]
from socket import AF_UNIX, MSG_NOSIGNAL, SOCK_STREAM, socket

EDGE = select.EPOLLIN | select.EPOLLET


def server(name):
    listener = socket(AF_UNIX, SOCK_STREAM)
    listener.bind(name)  # makes the name
    listener.listen(5)  # from now on the kernel connects clients
    #[
    listener.setblocking(False)
    #]
    epoll = select.epoll()  # the kernel keeps the interest list
    epoll.register(listener, EDGE)
    clients = {}
    while True:
        for fd, _ in epoll.poll():  # sleeps until something has come
            if fd == listener.fileno():
                #[
                with suppress(BlockingIOError):
                    while True:  # until EAGAIN: an event may stand for several clients
                        client, _ = listener.accept()
                        epoll.register(client, EDGE)
                        clients[client.fileno()] = client
                #]
                #| client, _ = listener.accept()
                #| epoll.register(client, EDGE)
                #| clients[client.fileno()] = client
            else:
                #[
                with suppress(BlockingIOError):  # EAGAIN: all is read, and more makes an event
                    while data := clients[fd].recv(4096, MSG_DONTWAIT):
                        clients[fd].send(data, MSG_NOSIGNAL)  # sleeps while it is full
                    clients.pop(fd).close()  # the client's recv returns b""; fd leaves the list
                #]
                #| if data := clients[fd].recv(4096):
                #|     clients[fd].send(data, MSG_NOSIGNAL)  # sleeps while it is full
                #| else:
                #|     clients.pop(fd).close()  # the client's recv returns b""; fd leaves the list
        if not clients:
            break
    epoll.close()
    listener.close()
    os.unlink(name)


match sys.argv[1:]:
    case ["server", name]:
        server(name)
    case _:
        print("usage: edge.py server PLACE", file=sys.stderr)
        sys.exit(2)
