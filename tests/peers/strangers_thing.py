"""Makes a thing of this user's under a name that is another's by default, waits until
standard input ends, and says whether anybody has touched it."""

import ctypes
import mmap
import os
import socket
import struct
import sys

kind, name, key, victim = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
libc = ctypes.CDLL(None, use_errno=True)
IPC_NEW, IPC_SET, IPC_STAT, IPC_RMID = 0o3000, 1, 2, 0
os.umask(0)


def checked(result):
    if result == -1:
        error = ctypes.get_errno()
        sys.exit(f"{kind}: {os.strerror(error)}")
    return result


def ring():
    """An empty ring whose receiver is this process."""
    with open("/proc/self/stat") as file:
        start = int(file.read().rsplit(")", 1)[1].split()[19])
    header = bytearray(384 + 4096)
    struct.pack_into("<8sIIQ", header, 0, b"ipc-ring", 1, 384, 4096)
    struct.pack_into("<IIQ", header, 48, os.getpid(), 0, start)
    return bytes(header)


def file(path, content):
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    os.write(fd, content)
    inode = os.fstat(fd).st_ino
    same = lambda: os.stat(path).st_ino == inode and open(path, "rb").read() == content
    return same, lambda: os.unlink(path)


def given(control, number, *more):
    """Gives the object to the victim; who created it stays written in it."""
    perm = ctypes.create_string_buffer(256)
    checked(control(number, *more, IPC_STAT, perm))
    struct.pack_into("<I", perm, 4, victim)
    checked(control(number, *more, IPC_SET, perm))


def sysv(base):
    if base == "segment":
        number = checked(libc.shmget(key, 384 + 4096, IPC_NEW | 0o666))
        libc.shmat.restype = ctypes.c_void_p
        address = libc.shmat(number, None, 0)
        content = ring()
        ctypes.memmove(address, content, len(content))
        same = lambda: ctypes.string_at(address, len(content)) == content
        return number, same, libc.shmctl, ()
    if base == "queue":
        number = checked(libc.msgget(key, IPC_NEW | 0o666))

        def same():
            rows = [line.split() for line in open("/proc/sysvipc/msg")][1:]
            return [row[4] for row in rows if row[1] == str(number)] == ["0"]

        return number, same, libc.msgctl, ()
    number = checked(libc.semget(key, 1, IPC_NEW | 0o666))
    checked(libc.semop(number, struct.pack("<Hhh", 0, 3, 0), 1))
    return number, lambda: libc.semctl(number, 0, 12) == 3, libc.semctl, (0,)


def make():
    if kind == "segment":
        return file("/dev/shm" + name, ring())
    if kind == "futex":
        return file("/dev/shm" + name, struct.pack("<I", 3))
    if kind == "semaphore":
        return file("/dev/shm/sem." + name[1:], struct.pack("<I", 3) + bytes(28))
    if kind == "queue":
        queue = checked(libc.mq_open(name.encode(), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666, None))
        inode = os.fstat(queue).st_ino

        def same():
            again = checked(libc.mq_open(name.encode(), os.O_RDONLY))
            size = os.pread(again, 80, 0)
            return os.fstat(again).st_ino == inode and size.startswith(b"QSIZE:0 ")

        return same, lambda: libc.mq_unlink(name.encode())
    if kind.startswith("sysv"):
        how, base = kind.split("-")[1:] if kind.count("-") == 2 else ("", kind.split("-")[1])
        number, same, control, more = sysv(base)
        if how == "given":
            given(control, number, *more)
        return same, lambda: control(number, *more, IPC_RMID, None)
    types = {"stream": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET, "dgram": socket.SOCK_DGRAM}
    server = socket.socket(socket.AF_UNIX, types[kind])
    server.bind("\0" + name[1:])
    server.setblocking(False)
    if kind != "dgram":
        server.listen()

    def same():
        try:
            client = server if kind == "dgram" else server.accept()[0]
            client.setblocking(True)
            client.settimeout(0.001 if kind == "dgram" else None)
            return client.recv(100) == b""
        except OSError:
            return True

    return same, server.close


untouched, remove = make()
print("planted", flush=True)
sys.stdin.read()
print("untouched" if untouched() else "touched", flush=True)
remove()
