import socket, sys
from multiprocessing.connection import Listener
from multiprocessing.reduction import send_handle

path, key_file = sys.argv[1:]
with open(key_file, "rb") as file:
    key = file.read()
clients = socket.create_server(("127.0.0.1", 0))
with open(path + ".addr", "w") as note:
    print("127.0.0.1", clients.getsockname()[1], sep=":", file=note)
with Listener(path, family="AF_UNIX", authkey=key) as listener:
    worker = listener.accept()
    pid = worker.recv()
    while True:
        client, _ = clients.accept()
        send_handle(worker, client.fileno(), pid)
        client.close()  # the worker has its own, or will have
