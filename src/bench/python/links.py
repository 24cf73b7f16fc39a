"""The mechanisms that Python's standard library has, each as a link with two ends.

send(message) sends one message, or all its bytes on a stream; receive() returns what came:
one message, or a chunk of the stream; nothing at the end. `there` goes from a to b, and
`back`, which a link of one way does not have, from b to a.
"""

import mmap
import os
import platform
import select
import signal
import socket
import struct
import sys
import time

CHUNK = 65_536


def refuse(status, why):
    sys.stderr.write(f"python: {why}\n")  # in one piece
    sys.exit(status)


def patiently(call, *errors):
    """Tries `call` again while the other side is not there yet: up to 5 s."""
    for _ in range(5_000):
        try:
            return call()
        except errors:
            time.sleep(0.001)
    return call()


class Stream:
    """Two descriptors: bytes go in at one and come out at another."""

    is_stream = True

    def __init__(self, into, out):
        self.into, self.out = into, out

    def send(self, message):
        n = os.write(self.into, message)
        while n < len(message):
            n += os.write(self.into, memoryview(message)[n:])

    def receive(self):
        return os.read(self.out, CHUNK)

    def close(self):
        pass


def pipe(base, side, size, oneway):
    return Stream(1, 0)  # the bench has made both


def fifo(base, side, size, oneway):
    ends = {}
    for name in ["there"] if oneway else ["there", "back"]:
        path = f"{base}.{name}"
        try:
            os.mkfifo(path, 0o600)
        except FileExistsError:
            pass
        writes = (side == "a") == (name == "there")
        ends[writes] = os.open(path, os.O_WRONLY if writes else os.O_RDONLY)
        if side == "a":
            os.unlink(path)  # open() has waited for the other side
    return Stream(ends.get(True), ends.get(False))


class Socket:
    """A connected socket."""

    def __init__(self, connected, size):
        self.socket = connected
        self.is_stream = connected.type == socket.SOCK_STREAM
        self.send = connected.sendall if self.is_stream else connected.send
        self.buffer = bytearray(max(CHUNK, size))
        self.view = memoryview(self.buffer)
        self.room = CHUNK if self.is_stream else len(self.buffer)

    def receive(self):
        return self.view[: self.socket.recv_into(self.buffer, self.room)]

    def close(self):
        self.socket.close()


def meet(link, address, side):
    """b listens at an address, and a connects to it."""
    if side == "a":
        missing = FileNotFoundError, ConnectionRefusedError
        patiently(lambda: link.connect(address), *missing)
        return link
    link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    link.bind(address)
    link.listen(1)
    connected, _ = link.accept()
    if link.family == socket.AF_UNIX:
        os.unlink(address)
    link.close()
    return connected


def unix_stream(base, side, size, oneway):
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    return Socket(meet(link, f"{base}.sock", side), size)


def packets(kind, size):
    """A Unix socket of packets, if they may be so large."""
    link = socket.socket(socket.AF_UNIX, kind)
    most = link.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - 32
    if size > most:
        refuse(3, f"a packet has at most {most} bytes, not {size}")
    return link


def unix_seqpacket(base, side, size, oneway):
    link = packets(socket.SOCK_SEQPACKET, size)
    return Socket(meet(link, f"{base}.sock", side), size)


def unix_dgram(base, side, size, oneway):
    us, them = (".a", ".sock") if side == "a" else (".sock", ".a")
    link = packets(socket.SOCK_DGRAM, size)
    link.bind(base + us)
    missing = FileNotFoundError, ConnectionRefusedError
    patiently(lambda: link.connect(base + them), *missing)
    os.unlink(base + them)  # only we had to find it
    return Socket(link, size)


def tcp(base, side, size, oneway):
    port = int(base.rpartition(":")[2])
    link = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    link = meet(link, ("127.0.0.1", port), side)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Socket(link, size)


class Datagrams:
    """The datagrams of the chapter, `NUMBER LENGTH MESSAGE`. a is the client, and connected; b has
    one socket for all clients. What is lost is not sent again: a ends then, by EAGAIN."""

    is_stream, LARGEST, ROOM = False, 65_490, 65_536

    def __init__(self, base, side):
        address = "127.0.0.1", int(base.rpartition(":")[2])
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.asks, self.number = side == "a", 0
        if not self.asks:
            self.socket.bind(address)
            _, self.client = self.socket.recvfrom(1)
            self.socket.sendto(b"!", self.client)
            return
        self.socket.connect(address)
        lost = struct.pack("ll", 5, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, lost)
        # b may not be there yet: an ICMP message says so.
        patiently(lambda: self.socket.send(b"!") and self.socket.recv(1), ConnectionRefusedError)

    def send(self, message):
        datagram = b"%d %d %b" % (self.number + self.asks, len(message), message)
        self.number += self.asks
        if not message:
            datagram = b""
        if self.asks:
            self.socket.send(datagram)
        else:
            self.socket.sendto(datagram, self.client)

    def receive(self):
        while True:
            if self.asks:
                datagram = self.socket.recv(self.ROOM)
            else:
                datagram, self.client = self.socket.recvfrom(self.ROOM)
            if not datagram:
                return b""
            try:
                number, length, message = datagram.split(b" ", 2)
                number, length = int(number), int(length)
            except ValueError:
                continue
            # a takes the answer to its last message, and b what is new.
            if length == len(message) and number == self.number + (not self.asks):
                self.number = number
                return message

    def close(self):
        self.socket.close()


def udp(base, side, size, oneway):
    if oneway:
        refuse(3, "who only sends loses datagrams")
    if size > Datagrams.LARGEST:
        refuse(3, f"a message has at most {Datagrams.LARGEST} bytes, not {size}")
    return Datagrams(base, side)


class Counters:
    """Two eventfds, which the bench has made. A message is its number and 1, since 0 wakes nobody.
    An eventfd has no end: a connection, descriptor 4, tells that the other side has left. Whoever
    writes looks at it before; whoever reads waits for both in epoll_wait()."""

    is_stream = False

    def __init__(self):
        self.connection = socket.socket(fileno=4)
        self.epoll = select.epoll()
        self.epoll.register(0, select.EPOLLIN)
        self.epoll.register(self.connection, select.EPOLLRDHUP)
        self.ended = select.poll()
        self.ended.register(self.connection, select.POLLRDHUP)

    def send(self, message):
        if not message:
            self.connection.shutdown(socket.SHUT_WR)
            return
        if self.ended.poll(0):
            raise BrokenPipeError("the connection")
        os.eventfd_write(1, int.from_bytes(message, "little") + 1)

    def receive(self):
        if not any(fd == 0 for fd, _ in self.epoll.poll()):
            return b""
        return (os.eventfd_read(0) - 1).to_bytes(8, "little")

    def close(self):
        self.epoll.close()
        self.connection.close()


def eventfd(base, side, size, oneway):
    if oneway or size != 8:
        refuse(3, "a message is a number, 8 bytes, and is answered")
    return Counters()


class Signals:
    """One message is one signal. Neither os.kill() nor signal.pidfd_send_signal() has a value
    to send with it, so it says no more than that it came; and a second one that follows too
    soon needs a queue that nobody bounds: only strictly in turns."""

    MESSAGE, GOODBYE = signal.SIGRTMIN, signal.SIGRTMIN + 1

    def __init__(self, base, side):
        us, them = (".a", ".b") if side == "a" else (".b", ".a")
        self.both = {self.MESSAGE, self.GOODBYE}
        # Blocked before the other side hears of us: its signal would kill us.
        signal.pthread_sigmask(signal.SIG_BLOCK, self.both)
        with open(f"{base}{us}.new", "w") as file:
            file.write(str(os.getpid()))
        os.rename(f"{base}{us}.new", base + us)
        with patiently(lambda: open(base + them), FileNotFoundError) as file:
            self.other = int(file.read())
        os.unlink(base + them)  # only we had to find it

    def send(self):
        os.kill(self.other, self.MESSAGE)

    def goodbye(self):
        os.kill(self.other, self.GOODBYE)

    def receive(self):
        return signal.sigwait(self.both) == self.MESSAGE

    def close(self):
        pass


def signals(base, side, size, oneway):
    if oneway:
        refuse(4, "the standard library sends no value with a signal: nothing to number")
    if size > 0:
        refuse(3, "the standard library sends no value with a signal: SIZE is 0")
    return Signals(base, side)


class Ring:
    """A ring of bytes in shared memory. A message is its length in 4 bytes, then its bytes;
    both may go round the end. The standard library has no futex: who waits, looks again and
    again."""

    CAPACITY, HEAD, TAIL, DATA = 1 << 22, 0, 16, 256
    LENGTH = DATA + CAPACITY

    def __init__(self, memory):
        self.words = memory[: self.DATA].cast("Q")
        self.data = memory[self.DATA : self.LENGTH]
        self.head = self.tail = 0  # one is ours, the other what we last saw of the other's

    def put(self, index, message):
        at = index % self.CAPACITY
        straight = min(len(message), self.CAPACITY - at)
        if straight == len(message):
            self.data[at : at + straight] = message
            return
        message = memoryview(message)
        self.data[at:] = message[:straight]
        self.data[: len(message) - straight] = message[straight:]

    def get(self, index, n):
        at = index % self.CAPACITY
        part = bytes(self.data[at : at + n])
        return part if len(part) == n else part + bytes(self.data[: n - len(part)])

    def send(self, message):
        n = 4 + len(message)
        while self.CAPACITY - (self.head - self.tail) < n:
            self.tail = self.words[self.TAIL]
        self.put(self.head, len(message).to_bytes(4, "little"))
        self.put(self.head + 4, message)
        self.head += n
        self.words[self.HEAD] = self.head

    def receive(self):
        while self.head == self.tail:
            self.head = self.words[self.HEAD]
        n = int.from_bytes(self.get(self.tail, 4), "little")
        message = self.get(self.tail + 4, n)
        self.tail += 4 + n
        self.words[self.TAIL] = self.tail
        return message

    def close(self):
        self.words.release()
        self.data.release()


class Rings:
    """A ring each way, over memory that `open_memory(name)` makes or finds."""

    is_stream = False

    def __init__(self, open_memory, side, size, oneway):
        if platform.machine() not in ("x86_64", "i686"):
            refuse(4, "the standard library has no memory fence, which this processor needs")
        if size > Ring.CAPACITY - 4:
            refuse(3, f"a message has at most {Ring.CAPACITY - 4} bytes, not {size}")
        self.memories, self.rings = [], []
        for name in ["there"] if oneway else ["there", "back"]:
            memory, view = open_memory(name)
            self.memories.append(memory)
            self.rings.append(Ring(view))
            if (side == "a") == (name == "there"):
                self.send = self.rings[-1].send
            else:
                self.receive = self.rings[-1].receive

    def close(self):
        for ring in self.rings:
            ring.close()
        for memory in self.memories:
            memory.close()


def shm(base, side, size, oneway):
    from multiprocessing import resource_tracker, shared_memory

    # a makes the memory, and b, who finds it, takes the name away. Before Python 3.13 a
    # tracker would do that once more at the end of each process that had it open.
    untracked = {"track": False} if sys.version_info >= (3, 13) else {}

    def open_memory(suffix):
        name = f"{os.path.basename(base)}-{suffix}"
        if side == "a":
            new = {"create": True, "size": Ring.LENGTH}
            memory = shared_memory.SharedMemory(name, **new, **untracked)
            if not untracked:
                resource_tracker.unregister(f"/{name}", "shared_memory")
        else:
            # ValueError: it is made, and still empty.
            found = lambda: shared_memory.SharedMemory(name, **untracked)
            memory = patiently(found, FileNotFoundError, ValueError)
            memory.unlink()
        return memory, memory.buf

    return Rings(open_memory, side, size, oneway)


def mapped(base, side, size, oneway):
    def open_memory(suffix):
        path = f"{base}.{suffix}"
        if side == "a":
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            os.truncate(fd, Ring.LENGTH)
            memory = mmap.mmap(fd, Ring.LENGTH)
        else:
            fd = patiently(lambda: os.open(path, os.O_RDWR), FileNotFoundError)
            # ValueError: it is made, and still empty.
            memory = patiently(lambda: mmap.mmap(fd, Ring.LENGTH), ValueError)
            os.unlink(path)
        os.close(fd)
        return memory, memoryview(memory)

    return Rings(open_memory, side, size, oneway)


LINKS = {
    "pipe": pipe,
    "fifo": fifo,
    "unix stream": unix_stream,
    "unix seqpacket": unix_seqpacket,
    "unix dgram": unix_dgram,
    "tcp": tcp,
    "udp": udp,
    "signal": signals,
    "shm --spin": shm,
    "mmap --spin": mapped,
    "eventfd": eventfd,
}
ABSENT = {
    "posixmq": "POSIX message queues",
    "sysvmq": "System V message queues",
    "shm": "futex to sleep on (`shm --spin` needs none)",
    "mutex": "mutex in memory that two programs share",
    "mmap": "futex to sleep on (`mmap --spin` needs none)",
}


def open_link(mechanism, base, side, size, oneway):
    """This side's end of the link; ends the program where there can be none."""
    if mechanism not in LINKS:
        refuse(4, f"the standard library has no {ABSENT.get(mechanism, mechanism)}")
    if mechanism != "signal" and size < (64 if oneway else 1):
        refuse(3, f"messages of {size} bytes are too small")
    return LINKS[mechanism](base, side, size, oneway)
