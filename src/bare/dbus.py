#!/usr/bin/env python3
"""D-Bus, bare: bind(2), listen(2), accept(2), connect(2); messages and AUTH by jeepney.

Wire: D-Bus on a Unix socket, without a bus: a call of Post(s), a reply with a u.
Not here: a second client, another user's client, signals, properties, a bus. See chapter dbus.
pip install jeepney; python3 dbus.py server /tmp/d & sleep 1; python3 dbus.py client /tmp/d hello
"""
import os
import socket
import sys

from jeepney import (DBusAddress, HeaderFields, Parser, new_error, new_method_call,
                     new_method_return)
from jeepney.io.blocking import prep_socket
from jeepney.wrappers import unwrap_msg

BOARD = DBusAddress("/org/ipclab/Board", "org.ipclab.Board", "org.ipclab.Board1")


def post(call, number):
    if call.header.fields[HeaderFields.member] != "Post":
        return new_error(call, "org.freedesktop.DBus.Error.UnknownMethod")
    os.write(1, call.body[0].encode() + b"\n")
    return new_method_return(call, "u", (number,))


def server(name):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(name)  # EADDRINUSE: the name exists
    listener.listen()
    client, _ = listener.accept()  # sleeps until a client connects
    lines = client.makefile("rb", buffering=0)
    while (line := lines.readline()) != b"BEGIN\r\n":  # sleeps until a line comes
        match line.strip(b"\0\r\n").split():  # jeepney has the client's half of AUTH alone
            case [b"AUTH", b"EXTERNAL"]:
                client.sendall(b"DATA\r\n")  # which user?
            case [b"AUTH", b"EXTERNAL", _] | [b"DATA", *_]:
                client.sendall(b"OK 0123456789abcdef0123456789abcdef\r\n")
            case _:
                client.sendall(b"ERROR\r\n")
    parser, number = Parser(), 0
    while call := receive(client, parser):
        number += 1
        client.sendall(post(call, number).serialise(number))
    client.close()
    listener.close()
    os.unlink(name)


def receive(peer, parser):
    """Receives a message; None once the peer has closed."""
    while not (message := parser.get_next_message()):
        data = peer.recv(4096)  # sleeps until bytes come
        if not data:
            return None
        parser.add_data(data)
    return message


def client(name, *messages):
    connection, parser = prep_socket(name), Parser()  # ENOENT: no server yet
    for number, message in enumerate(messages, 1):
        call = new_method_call(BOARD, "Post", "s", (message,))
        connection.sendall(call.serialise(number))
        while reply := receive(connection, parser):
            if reply.header.fields.get(HeaderFields.reply_serial) == number:
                break  # other messages may come before
        os.write(1, b"%d\n" % unwrap_msg(reply))
    connection.close()


match sys.argv[1:]:
    case ["server", name]:
        server(name)
    case ["client", name, *messages]:
        client(name, *messages)
    case _:
        print("usage: dbus.py server PLACE | client PLACE MESSAGE...", file=sys.stderr)
        sys.exit(2)
