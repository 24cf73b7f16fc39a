"""An echo server of the standard library: echo.py STRATEGY; descriptor 0 listens."""

import selectors
import socket
import socketserver
import sys

SELECTORS = {
    "select": "SelectSelector",
    "poll": "PollSelector",
    "epoll": "EpollSelector",
}
SERVERS = {
    "iterative": "TCPServer",
    "fork": "ForkingTCPServer",
    "threads": "ThreadingTCPServer",
}


class Echo(socketserver.BaseRequestHandler):
    """Serves one client to its end."""

    def handle(self):
        try:
            while message := self.request.recv(65536):
                self.request.sendall(message)
        except ConnectionError:
            pass  # it has left


def serve(kind):
    """Serves the clients one by one, by a child each, or by a thread each."""
    server = getattr(socketserver, kind)(("", 0), Echo, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=0)
    server.daemon_threads = True
    server.max_children = 2000
    server.serve_forever(poll_interval=None)


def select(kind):
    """Serves all clients in one thread."""
    listener = socket.socket(fileno=0)
    listener.setblocking(False)
    with getattr(selectors, kind)() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    client, _ = listener.accept()
                    client.setblocking(False)
                    selector.register(client, selectors.EVENT_READ)
                    continue
                client = key.fileobj
                try:
                    message = client.recv(65536)
                    if message:
                        client.send(message)
                        continue
                except ConnectionError:
                    pass  # it has left
                selector.unregister(client)
                client.close()


strategy = sys.argv[1]
if strategy in SELECTORS:
    select(SELECTORS[strategy])
else:
    serve(SERVERS[strategy])
