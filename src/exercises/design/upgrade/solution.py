#!/usr/bin/env python3
"""A server that is replaced: accept(2), epoll(7), fork(2), execve(2), fcntl(2): FD_CLOEXEC.

python3 upgrade.py server 127.0.0.1:7777
"""
import os
#[
import signal
from selectors import EVENT_READ, DefaultSelector
from socket import MSG_NOSIGNAL, SO_REUSEADDR, SOL_SOCKET, socket, socketpair
#]
#| from socket import SO_REUSEADDR, SOL_SOCKET, socket
import sys

#[

def start(listener, generation):
    """Starts the successor, which inherits the listening socket, and no other."""
    os.set_inheritable(listener.fileno(), True)
    about = {**os.environ, "SUCCESSOR": f"{listener.fileno()} {generation}"}
    os.posix_spawn(sys.executable, sys.orig_argv, about)

#]

def server(host, port):
    #[
    if "SUCCESSOR" in os.environ:
        number, generation = map(int, os.environ["SUCCESSOR"].split())
        listener = socket(fileno=number)
    else:
        generation = 1
        listener = socket()
        listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(64)
    signals, writing = socketpair()  # each signal is a byte in it
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.fileno())
    for number in signal.SIGHUP, signal.SIGTERM:
        signal.signal(number, lambda *_: None)
    select, pending, replaced = DefaultSelector(), {}, False
    select.register(signals, EVENT_READ)
    select.register(listener, EVENT_READ)
    while True:
        for key, _ in select.select():  # sleeps
            if key.fileobj is signals:
                if signals.recv(1)[0] == signal.SIGTERM:
                    os._exit(0)
                if replaced:
                    continue
                replaced = True
                start(listener, generation + 1)
                select.unregister(listener)
                listener.close()
            elif key.fileobj is listener:
                if replaced:
                    continue  # it was ready before the signal: the successor accepts
                client, _ = listener.accept()
                select.register(client, EVENT_READ)
                pending[client] = b""
            else:
                client = key.fileobj
                try:
                    data = client.recv(4096)
                    *lines, pending[client] = (pending[client] + data).split(b"\n")
                    for line in lines:
                        client.sendall(f"{generation} ".encode() + line + b"\n", MSG_NOSIGNAL)
                except OSError:
                    data = b""
                if data == b"":
                    select.unregister(client)
                    del pending[client]
                    client.close()
        if replaced and len(select.get_map()) == 1:
            os._exit(0)  # only the signals are left
    #]
    #| listener = socket()
    #| listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    #| listener.bind((host, port))
    #| listener.listen(64)
    #| while True:
    #|     client, _ = listener.accept()
    #|     if os.fork() > 0:
    #|         client.close()
    #|         continue
    #|     for line in client.makefile("rb"):
    #|         client.sendall(b"1 " + line)  # and who comes after us?
    #|     os._exit(0)


match sys.argv[1:]:
    case ["server", address]:
        host, port = address.rsplit(":", 1)
        server(host, int(port))
    case _:
        print("usage: server ADDRESS", file=sys.stderr)
        sys.exit(2)
