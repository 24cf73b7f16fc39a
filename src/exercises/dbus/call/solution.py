#!/usr/bin/env python3
"""A D-Bus call by hand: connect(2), send(2).

python3 caller.py caller /tmp/d Post hello
"""
import socket
#[
import struct
#]
import sys


#[
def padded(data):
    return data + bytes(-len(data) % 8)


def string(text):
    data = text.encode()
    return struct.pack("<I", len(data)) + data + b"\0"


#]
def message(member, text):
    #[
    fields = b""  # they begin at byte 16: a multiple of 8 here is one there
    for code, mark, value in [(1, b"o", "/org/ipclab/Board"), (2, b"s", "org.ipclab.Board1"),
                              (3, b"s", member)]:
        fields = padded(fields) + bytes([code, 1]) + mark + b"\0" + string(value)
    fields = padded(fields) + b"\x08\x01g\0\x01s\0"
    body = string(text)
    return padded(b"l\x01\0\x01" + struct.pack("<III", len(body), 1, len(fields)) + fields) + body
    #]
    #| sys.exit(f"a call of {member} with {text!r}: not written yet")


def caller(place, member, text):
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(place)
    peer.sendall(message(member, text))
    peer.close()


match sys.argv[1:]:
    case ["caller", place, member, text]:
        caller(place, member, text)
    case _:
        print("usage: caller PLACE MEMBER TEXT", file=sys.stderr)
        sys.exit(2)
