#!/usr/bin/env python3
"""A reader of D-Bus messages by hand: connect(2), recv(2).

python3 reader.py reader /tmp/d
"""
#[
import socket
import struct
#]
import sys


#[
def read_all(peer, length):
    """So many bytes; fewer where the peer has closed."""
    data = b""
    while len(data) < length and (part := peer.recv(length - len(data))):  # sleeps
        data += part
    return data


#]
def reader(place):
    #[
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(place)
    while head := read_all(peer, 16):
        rest = length = 0
        if len(head) == 16:
            order = ">" if head[:1] == b"B" else "<"
            body, serial, fields = struct.unpack(order + "III", head[4:])
            length = (fields + 7) // 8 * 8 + body
            rest = len(read_all(peer, length))
        if len(head) < 16 or rest < length:
            sys.exit("the peer has closed within a message")
        print(head[1], serial, 16 + length, flush=True)
    #]
    #| # Connect to `place`, and print a line for each message.
    #| sys.exit(f"reader {place}: not written yet")


match sys.argv[1:]:
    case ["reader", place]:
        reader(place)
    case _:
        print("usage: reader PLACE", file=sys.stderr)
        sys.exit(2)
