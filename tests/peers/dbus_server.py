"""A D-Bus server, peer to peer, by hand, for one client and one call.

dbus_server.py SOCKET reply: the call is answered with the number 7.
dbus_server.py SOCKET future: the same, amid what a client does not know and must ignore.
dbus_server.py SOCKET die:   the call is read, and the connection closed.
dbus_server.py SOCKET hang:  the call is read, and never answered.
dbus_server.py SOCKET junk:  the call is answered with what is no message.
dbus_server.py SOCKET deny:  nobody is let in.
"""
import os
import socket
import struct
import sys


def pad(data, to):
    return data + b"\0" * (-len(data) % to)


path, mode = sys.argv[1:]
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(path)
    listener.listen()
    print("ready", flush=True)
    client, _ = listener.accept()
os.unlink(path)
stream = client.makefile("rb")
uid = str(os.getuid()).encode().hex()
assert stream.readline() == f"\0AUTH EXTERNAL {uid}\r\n".encode()
if mode == "deny":
    client.sendall(b"REJECTED KERBEROS_V4\r\n")
    sys.exit()
client.sendall(b"OK " + b"0123456789abcdef" * 2 + b"\r\n")
assert stream.readline() == b"BEGIN\r\n"
fixed = stream.read(16)
body, serial, fields = struct.unpack("<xxxxIII", fixed)
stream.read(fields + -fields % 8 + body)
if mode == "hang":
    stream.read()  # until the client gives up
elif mode == "junk":
    client.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    stream.read()
elif mode in ("reply", "future"):
    # Big-endian, to show that each message says which it is: REPLY_SERIAL, SIGNATURE.
    answer = b"\x05\x01u\0" + struct.pack(">I", serial) + b"\x08\x01g\0\x01u\0"
    flags = 1
    if mode == "future":
        unknown = struct.pack(">cBBBIII", b"B", 200, 0, 1, 0, 1, 0)
        client.sendall(unknown)
        # A field of the code 99, and a SENDER that is no unique name.
        answer = b"\x63\x01y\0\x2a\0\0\0" + answer
        answer = b"\x07\x01s\0" + struct.pack(">I", 3) + b"a.b\0" + b"\0" * 4 + answer
        flags = 0xF9
    head = struct.pack(">cBBBIII", b"B", 2, flags, 1, 4, 1, len(answer))
    client.sendall(pad(head + answer, 8) + struct.pack(">I", 7))
    stream.read()
