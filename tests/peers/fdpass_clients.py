"""Many clients at once, by the standard library: fdpass_clients.py HOST:PORT COUNT [FIRST]

Each connects, sends a line of its own and waits for the echo, and stays until all are
done. With FIRST it makes so many, says "first", and goes on when its standard input
ends. Says at last how many had their echo, how many an end of stream instead, and how
many neither.
"""

import selectors
import socket
import sys

host, port = sys.argv[1].rsplit(":", 1)
count = int(sys.argv[2])
first = int(sys.argv[3]) if len(sys.argv) > 3 else 0
selector = selectors.DefaultSelector()
echoed, ended, said = set(), set(), set()
clients = []


def report(text):
    print(text, flush=True)


def begin(number):
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex((host, int(port)))
    clients.append(client)
    line = f"client {number}\n".encode()
    selector.register(client, selectors.EVENT_WRITE, {"number": number, "line": line, "got": b""})


def milestones():
    for reached in (len(clients) // 3, len(clients) - 16):
        if reached > 0 and len(echoed) + len(ended) >= reached and reached not in said:
            said.add(reached)
            report(f"{reached} of {len(clients)}")


def serve(wanted):
    while len(echoed) + len(ended) < wanted:
        events = selector.select(timeout=30)
        if not events:
            return
        for key, mask in events:
            client, state = key.fileobj, key.data
            number = state["number"]
            try:
                if mask & selectors.EVENT_WRITE:
                    client.sendall(state["line"])
                    selector.modify(client, selectors.EVENT_READ, state)
                    continue
                received = client.recv(4096)
            except ConnectionRefusedError:
                sys.exit("refused")
            except ConnectionError:
                received = b""
            state["got"] += received
            if state["got"] == state["line"]:
                echoed.add(number)
            elif not received:
                ended.add(number)
            else:
                continue
            selector.unregister(client)
            milestones()


for number in range(first):
    begin(number)
serve(first)
if first:
    report("first")
    sys.stdin.read()
for number in range(first, count):
    begin(number)
serve(count)
report(f"echoed {len(echoed)} ended {len(ended)} lost {count - len(echoed) - len(ended)}")
