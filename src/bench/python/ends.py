"""The Python peers of `ipclab bench`: the same two processes, by the standard library alone.

Usage: ends.py MECHANISM pingpong|oneway a|b SIZE BASE, with a SOCK_SEQPACKET socket to the
bench as descriptor 3. Side a obeys it (`batches MS`, `each MS`, `send MS`, `quit`); side b
answers a's messages, or counts them. links.py has the mechanisms; here are the loops.

Exit status: 0 done; 1 failed; 3 the mechanism does not carry messages of SIZE bytes;
4 the standard library does not have it.
"""

import array
import socket
import struct
import sys
import time

import links

BATCH, MOST_BATCHES, MOST_EACH = 16, 16_384, 32_768
LAST = 1 << 63  # in a message's number, one way: no other follows

now = time.monotonic_ns
pack_number = struct.Struct("<Q").pack_into


class Payload:
    """A message begins with its number as a little-endian u64, or as much of that as it has
    room for; byte i after that is i * 7 + 3."""

    def __init__(self, size):
        self.size = size
        self.number = 0
        self.bytes = bytearray((i * 7 + 3) & 0xFF for i in range(size))
        self.write(0)

    def write(self, number):
        if self.size >= 8:
            pack_number(self.bytes, 0, number)
        else:
            self.bytes[:] = number.to_bytes(8, "little")[: self.size]

    def next(self):
        self.number += 1
        self.write(self.number)


class End:
    """One side, over a link that has send(message) and receive()."""

    def __init__(self, link, size, oneway):
        self.link = link
        self.size = size
        self.oneway = oneway
        self.mine = Payload(size)
        self.expected = Payload(size)
        self.offset = 0  # in the message that is under way, on a byte stream
        self.good, self.marked = True, False  # as far as it came
        self.last = False  # whether the last one has come
        self.bad = 0

    @property
    def sent(self):
        return self.mine.number

    @property
    def heard(self):
        return self.expected.number

    def send_next(self):
        self.link.send(self.mine.bytes)
        self.mine.next()

    def send_last(self):
        self.mine.write(self.mine.number | LAST)
        self.send_next()

    def goodbye(self):
        if not self.link.is_stream:
            self.link.send(b"")

    def hear(self):
        """Takes what has come, and returns how many bytes that was; raises EOFError."""
        chunk = self.link.receive()
        if not chunk:
            raise EOFError
        n = len(chunk)
        if self.link.is_stream:
            self.take_parts(chunk, n)
        else:
            self.take_part(chunk, n)
            if self.offset != self.size:
                self.good = False
            self.judge()
        return n

    def hear_one(self):
        before = self.expected.number
        while self.expected.number == before:
            self.hear()

    def take_parts(self, chunk, n):
        """A chunk of a byte stream holds messages and parts of them."""
        left = self.size - self.offset
        if n < left:
            self.take_part(chunk, n)
            return
        if n == left:
            self.take_part(chunk, n)
            self.judge()
            return
        view, start = memoryview(chunk), 0
        while start < n:
            end = min(start + self.size - self.offset, n)
            self.take_part(view[start:end], end - start)
            if self.offset == self.size:
                self.judge()
            start = end

    def take_part(self, part, n):
        offset, expected = self.offset, self.expected
        if self.oneway and offset <= 7 < offset + n and part[7 - offset] & 0x80:
            self.marked = True
            expected.write(expected.number | LAST)
        if not expected.bytes.startswith(part, offset):
            self.good = False
        self.offset = offset + n

    def judge(self):
        if not self.good:
            self.bad += 1
        self.last = self.marked
        self.offset, self.good, self.marked = 0, True, False
        self.expected.next()


class Bare:
    """A signal by os.kill() has no value: there is nothing to check but that it came."""

    bad = 0

    def __init__(self, link):
        self.send_next = link.send
        self.goodbye = link.goodbye
        self.receive = link.receive

    def hear_one(self):
        if not self.receive():
            raise EOFError


def ask(end, ms, batch, most):
    """Side a: round trips, timed in batches of so many."""
    send_next, hear_one, times = end.send_next, end.hear_one, array.array("I")
    then = now()
    until = then + ms * 1_000_000
    while then < until and len(times) < most:
        for _ in range(batch):
            send_next()
            hear_one()
        t = now()
        times.append(min(t - then, 0xFFFF_FFFF))
        then = t
    return times.tobytes()


def pour(end, ms):
    """Side a: one way, as fast as it goes."""
    often, send_next = max(1, 65_536 // end.size), end.send_next
    began, before = now(), end.sent
    until = began + ms * 1_000_000
    while True:
        for _ in range(often):
            send_next()
        if now() >= until:
            break
    end.send_last()
    return b"%d %d" % (end.sent - before, now() - began)


def obey(end, bench):
    """Does what the bench says, until it says `quit`."""
    while True:
        command = bench.recv(64).decode().split()
        match command:
            case []:
                sys.exit(1)  # the bench has died
            case ["batches", ms]:
                bench.send(ask(end, int(ms), BATCH, MOST_BATCHES))
            case ["each", ms]:
                bench.send(ask(end, int(ms), 1, MOST_EACH))
            case ["send", ms]:
                bench.send(pour(end, int(ms)))
            case ["quit"]:
                bench.send(b"bad %d" % end.bad)
                return
            case _:
                sys.exit(f"no such command: {command}")


def reply(end):
    """Side b: answers each message."""
    while True:
        end.hear_one()
        end.send_next()


def count(end, bench):
    """Side b: counts, and tells at each last message."""
    while True:
        before, bad = end.heard, end.bad
        size = end.hear()
        began = now()
        while not end.last:
            size += end.hear()
        took, end.last = now() - began, False
        bench.send(b"%d %d %d %d" % (end.heard - before, size, took, end.bad - bad))


def main():
    mechanism, mode, side, size, base = sys.argv[1:]
    oneway, size = mode == "oneway", int(size)
    bench = socket.socket(fileno=3)
    link = links.open_link(mechanism, base, side, size, oneway)
    end = Bare(link) if size == 0 else End(link, size, oneway)
    bench.send(b"ready")
    if side == "a":
        obey(end, bench)
        end.goodbye()
    else:
        try:
            if oneway:
                count(end, bench)
            else:
                reply(end)
        except EOFError:
            obey(end, bench)  # nothing but `quit` is left to come
    link.close()


if __name__ == "__main__":
    try:
        main()
    except EOFError:
        sys.exit("python: the other side has left")
    except OSError as error:
        sys.exit(f"python: {error}")
