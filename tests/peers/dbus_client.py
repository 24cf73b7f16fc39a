"""A D-Bus client, peer to peer, by hand: the handshake, one call, its reply.

dbus_client.py SOCKET TEXT: posts TEXT, and prints the number that it got.
"""
import os
import socket
import struct
import sys

OBJECT, INTERFACE = "/org/ipclab/Board", "org.ipclab.Board1"
METHOD_CALL, METHOD_RETURN, ERROR = 1, 2, 3
PATH, INTERFACE_FIELD, MEMBER, REPLY_SERIAL, SIGNATURE = 1, 2, 3, 5, 8


def pad(data, to):
    return data + b"\0" * (-len(data) % to)


def string(text):
    data = text.encode()
    return struct.pack("<I", len(data)) + data + b"\0"


def signature(text):
    return bytes([len(text)]) + text.encode() + b"\0"


def call(serial, member, types, body):
    """A method_call: the fixed part, an array of fields, and the body."""
    fields = b""
    for code, kind, value in (
        (PATH, "o", string(OBJECT)),
        (INTERFACE_FIELD, "s", string(INTERFACE)),
        (MEMBER, "s", string(member)),
        (SIGNATURE, "g", signature(types)),
    ):
        # Each is a structure, which begins at a multiple of 8: a code, then a variant.
        fields = pad(fields, 8) + bytes([code]) + signature(kind) + value
    fixed = struct.pack("<cBBBIII", b"l", METHOD_CALL, 0, 1, len(body), serial, len(fields))
    return pad(fixed + fields, 8) + body


def receive(stream):
    """A message: its type, the serial that it replies to, and its body."""
    fixed = stream.read(16)
    order = "<" if fixed[:1] == b"l" else ">"
    kind, body, _, length = struct.unpack(order + "xBxxIII", fixed)
    fields = stream.read(length + -length % 8)
    replied = None
    offset = 0
    while offset < length:
        offset += -offset % 8
        code, size = fields[offset], fields[offset + 1]
        of = fields[offset + 2 : offset + 2 + size]
        offset += 3 + size  # past the signature's NUL
        if of == b"g":
            offset += 2 + fields[offset]
            continue
        offset += -offset % 4
        (number,) = struct.unpack_from(order + "I", fields, offset)
        if code == REPLY_SERIAL:
            replied = number
        offset += 4 + (0 if of == b"u" else number + 1)
    return kind, replied, order, stream.read(body)


server = socket.socket(socket.AF_UNIX)
server.connect(sys.argv[1])
server.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
stream = server.makefile("rb")
answer = stream.readline()
assert answer.startswith(b"OK "), answer
server.sendall(b"BEGIN\r\n")
server.sendall(call(7, "Post", "s", string(sys.argv[2])))
server.shutdown(socket.SHUT_WR)  # nothing more to say; a reply is owed all the same
while True:
    kind, replied, order, body = receive(stream)
    if replied == 7:
        break
if kind == ERROR:
    (length,) = struct.unpack_from(order + "I", body)
    sys.exit(body[4 : 4 + length].decode())
assert kind == METHOD_RETURN, kind
print(struct.unpack(order + "I", body)[0])
