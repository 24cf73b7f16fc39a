#!/usr/bin/env python3
"""UDP and TCP at one port, in one thread: poll(2), and the calls of programs udp and tcp.

Wire: what comes is sent back, by the way it came. A signal ends the server.
python3 both.py server 127.0.0.1:7778 & sleep 1; echo hi | nc -u -w1 127.0.0.1 7778
"""
#[
import select
#]
import sys
from socket import AF_INET, SO_REUSEADDR, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET, socket


def server(host, port):
    udp = socket(AF_INET, SOCK_DGRAM)
    udp.bind((host, int(port)))  # a port of UDP's
    listener = socket(AF_INET, SOCK_STREAM)
    listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    listener.bind((host, int(port)))  # a port of TCP's, with the same number
    listener.listen(5)
    #[
    poll = select.poll()
    poll.register(udp, select.POLLIN)
    poll.register(listener, select.POLLIN)
    clients = {}
    #]
    while True:
        #[
        for fd, _ in poll.poll():  # sleeps until a socket is ready
            if fd == udp.fileno():
                data, client = udp.recvfrom(65536)
                udp.sendto(data, client)
            elif fd == listener.fileno():
                client, _ = listener.accept()
                poll.register(client, select.POLLIN)
                clients[client.fileno()] = client
            elif data := clients[fd].recv(4096):
                clients[fd].sendall(data)
            else:
                poll.unregister(fd)
                clients.pop(fd).close()
        #]
        #| client, _ = listener.accept()  # sleeps until a client comes
        #| while data := client.recv(4096):  # sleeps until data comes
        #|     client.sendall(data)
        #| client.close()
        #| data, client = udp.recvfrom(65536)  # sleeps until a datagram comes
        #| udp.sendto(data, client)


match sys.argv[1:]:
    case ["server", place]:
        server(*place.rsplit(":", 1))
    case _:
        print("usage: both.py server PLACE", file=sys.stderr)
        sys.exit(2)
