#!/usr/bin/env python3
"""A D-Bus client by hand: connect(2), send(2), recv(2).

python3 client.py client /tmp/d hello
"""
import socket
import struct
import sys

SERIAL = 1


def padded(data):
    return data + bytes(-len(data) % 8)


def string(text):
    data = text.encode()
    return struct.pack("<I", len(data)) + data + b"\0"


def call(text):
    fields = b""  # they begin at byte 16: a multiple of 8 here is one there
    for code, mark, value in [(1, b"o", "/org/ipclab/Board"), (2, b"s", "org.ipclab.Board1"),
                              (3, b"s", "Post")]:
        fields = padded(fields) + bytes([code, 1]) + mark + b"\0" + string(value)
    fields = padded(fields) + b"\x08\x01g\0\x01s\0"
    body = string(text)
    numbers = struct.pack("<III", len(body), SERIAL, len(fields))
    return padded(b"l\x01\0\x01" + numbers + fields) + body


def read(lines, length):
    data = lines.read(length)  # sleeps until all have come
    if len(data) < length:
        sys.exit("the server has closed")
    return data


def receive(lines):
    """Receives a message: its head, its header fields and its body."""
    head = read(lines, 16)
    body, _, length = struct.unpack("<III", head[4:])
    return head, read(lines, (length + 7) // 8 * 8)[:length], read(lines, body)


#[
def answers(fields):
    """The serial that a message answers, and the name of its error, if it has these fields."""
    serial, name, at = None, "", 0
    while at < len(fields):
        code, mark, value = fields[at], fields[at + 2:at + 3], at + 4
        if mark == b"u":
            at = value + 4
        elif mark == b"g":
            at = value + 1 + fields[value] + 1
        else:
            at = value + 4 + struct.unpack_from("<I", fields, value)[0] + 1
        if code == 4:
            name = fields[value + 4:at - 1].decode()
        elif code == 5:
            serial, = struct.unpack_from("<I", fields, value)
        at = (at + 7) // 8 * 8
    return serial, name


#]
def client(place, text):
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(place)
    peer.sendall(b"\0AUTH EXTERNAL\r\nDATA\r\n")  # who we are the kernel tells the server
    lines = peer.makefile("rb")
    for answer in [b"DATA", b"OK"]:
        line = lines.readline()
        if not line.startswith(answer):
            sys.exit(f"AUTH: {line}")
    peer.sendall(b"BEGIN\r\n" + call(text))
    #[
    while True:
        head, fields, body = receive(lines)
        serial, name = answers(fields)
        if head[1] == 3 and serial == SERIAL:
            sys.exit(name)
        if head[1] == 2 and serial == SERIAL:
            break
        # else a signal, or the answer to another call
    #]
    #| _, _, body = receive(lines)
    print(struct.unpack_from("<I", body)[0])


match sys.argv[1:]:
    case ["client", place, text]:
        client(place, text)
    case _:
        print("usage: client PLACE TEXT", file=sys.stderr)
        sys.exit(2)
