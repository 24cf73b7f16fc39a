# Many clients in one thread, with Python's own selectors: each sends three lines, and wants
# them back in order. Usage: multiplex_client.py COUNT, with IPCLAB_DIR set.
import os
import selectors
import socket
import sys

count = int(sys.argv[1])
path = os.path.join(os.environ["IPCLAB_DIR"], "multiplex")
selector = selectors.DefaultSelector()
texts = {}
for number in range(count):
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect(path)
    text = "".join(f"client {number}, line {line}\n" for line in range(3)).encode()
    texts[client] = [text, b""]
    client.sendall(text)
    client.shutdown(socket.SHUT_WR)
    client.setblocking(False)
    selector.register(client, selectors.EVENT_READ)
while selector.get_map():
    for key, _ in selector.select():
        part = key.fileobj.recv(65536)
        texts[key.fileobj][1] += part
        if not part:
            selector.unregister(key.fileobj)
            key.fileobj.close()
assert all(sent == back for sent, back in texts.values()), texts
print(f"{count} clients were answered")
