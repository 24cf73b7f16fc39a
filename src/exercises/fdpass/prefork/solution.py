#!/usr/bin/env python3
"""A server that passes its connections to workers: fork(2), socketpair(2), sendmsg(2), select(2).

python3 prefork.py server 127.0.0.1:7777 4
"""
import os
#[
import select
import signal
import struct
from socket import CMSG_LEN, MSG_CMSG_CLOEXEC, MSG_NOSIGNAL, SCM_RIGHTS, socketpair
#]
from socket import SO_REUSEADDR, SOL_SOCKET, socket
import sys

#[

def worker(server):
    while True:
        byte, rights, *_ = server.recvmsg(1, CMSG_LEN(4), MSG_CMSG_CLOEXEC)  # sleeps
        if byte == b"":
            os._exit(0)  # the server has gone
        try:
            with socket(fileno=struct.unpack("i", rights[0][2])[0]) as client:
                with client.makefile("rb") as lines:
                    for line in lines:  # sleeps until the client sends one
                        client.sendall(f"{os.getpid()} ".encode() + line, MSG_NOSIGNAL)
        except OSError:
            pass  # this client has gone: the next one has not
        server.send(b"F", MSG_NOSIGNAL)  # free

#]

def server(host, port, count):
    listener = socket()
    listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(64)
    #[
    workers, free = {}, set()  # the server's end of each worker: its process; which are free

    def start():
        ours, theirs = socketpair()
        pid = os.fork()
        if pid > 0:
            theirs.close()  # or its end would never come
            workers[ours] = pid
            free.add(ours)
            return
        listener.close()  # only the server accepts
        for other in [ours, *workers]:
            other.close()  # or a worker would not see the server's end
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        worker(theirs)

    def end(*_):
        for pid in workers.values():
            os.kill(pid, signal.SIGTERM)
        for pid in workers.values():
            os.waitpid(pid, 0)
        os._exit(0)

    for _ in range(count):
        start()
    signal.signal(signal.SIGTERM, end)
    while True:
        wanted = [*workers, *([listener] if free else [])]
        ready, _, _ = select.select(wanted, [], [])  # sleeps
        for sock in ready:
            if sock is listener:
                continue
            byte = sock.recv(1)
            if byte == b"":  # the worker has died
                os.waitpid(workers.pop(sock), 0)
                free.discard(sock)
                sock.close()
                start()  # in its place
            elif byte:
                free.add(sock)
        if listener in ready and free:
            client, _ = listener.accept()
            chosen = free.pop()
            rights = [(SOL_SOCKET, SCM_RIGHTS, struct.pack("i", client.fileno()))]
            try:
                chosen.sendmsg([b"x"], rights, MSG_NOSIGNAL)
            except BrokenPipeError:
                pass  # it has just died: this client is lost with it
            client.close()  # the worker has its own copy
    #]
    #| while True:
    #|     client, _ = listener.accept()  # and now?
    #|     with client, client.makefile("rb") as lines:
    #|         for line in lines:
    #|             client.sendall(f"{os.getpid()} ".encode() + line)


match sys.argv[1:]:
    case ["server", address, count]:
        host, port = address.rsplit(":", 1)
        server(host, int(port), int(count))
    case _:
        print("usage: server ADDRESS COUNT", file=sys.stderr)
        sys.exit(2)
