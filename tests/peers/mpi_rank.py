"""One rank of a job whose other ranks are ipclab's: mpi_rank.py ROLE."""
import sys
from array import array

from mpi4py import MPI

NUMBER, BALL, DONE, TOKEN = 1, 2, 3, 4
world = MPI.COMM_WORLD
rank, size = world.Get_rank(), world.Get_size()


def send_receive():
    number = array("I", [0])
    if rank == 1:
        number[0] = 4711
        world.Send([number, MPI.UINT32_T], dest=0, tag=NUMBER)
    else:
        print(f"before: {number[0]}")
        world.Recv([number, MPI.UINT32_T], source=1, tag=NUMBER)
        print(f"after: {number[0]}")


def next_message(source):
    status = MPI.Status()
    world.Probe(source=source, status=status)
    message = bytearray(status.Get_count(MPI.UINT8_T))
    world.Recv([message, MPI.UINT8_T], source=source, tag=status.Get_tag())
    return message, status.Get_tag()


def ping_pong():
    if rank == 0:
        for message in (b"from", b"", b"python" * 100_000):
            world.Send([message, MPI.UINT8_T], dest=1, tag=BALL)
            assert next_message(1) == (message, BALL)
            print(len(message))
        world.Send([b"", MPI.UINT8_T], dest=1, tag=DONE)
        return
    message, tag = next_message(0)
    while tag == BALL:
        world.Send([message, MPI.UINT8_T], dest=0, tag=BALL)
        message, tag = next_message(0)


def ring():
    token = array("Q", [0])
    if rank > 0:
        world.Recv([token, MPI.UINT64_T], source=rank - 1, tag=TOKEN)
        token[0] += rank
    world.Send([token, MPI.UINT64_T], dest=(rank + 1) % size, tag=TOKEN)
    if rank == 0:
        world.Recv([token, MPI.UINT64_T], source=size - 1, tag=TOKEN)
        print(token[0])


def reduction():
    steps, pi = array("Q", [1_000_000]), array("d", [0.0])
    world.Bcast([steps, MPI.UINT64_T], root=0)
    width = 1 / steps[0]
    strips = range(rank, steps[0], size)
    part = sum(4 / (1 + ((i + 0.5) * width) ** 2) for i in strips) * width
    world.Reduce([array("d", [part]), MPI.DOUBLE], [pi, MPI.DOUBLE], MPI.SUM, root=0)
    if rank == 0:
        print(f"{pi[0]:.10f}")


def no_number():
    world.Send([b"", MPI.UINT8_T], dest=0, tag=NUMBER)


def two_numbers():
    world.Send([array("I", [1, 2]), MPI.UINT32_T], dest=0, tag=NUMBER)


def unknown_tag():
    world.Send([b"?", MPI.UINT8_T], dest=1, tag=99)


def too_long():
    world.Isend([bytearray((16 << 20) + 1), MPI.UINT8_T], dest=1, tag=BALL).Wait()


def changed_ball():
    next_message(0)
    world.Send([b"changed", MPI.UINT8_T], dest=0, tag=BALL)


globals()[sys.argv[1].replace("-", "_")]()
