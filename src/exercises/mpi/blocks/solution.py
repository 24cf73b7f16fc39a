#!/usr/bin/env python3
"""Blocks that are on their way: MPI_Isend(3), MPI_Barrier(3), MPI_Waitall(3).

pip install mpi4py; mpiexec -n 2 python3 blocks.py blocks 3 10 1
"""
import sys
from array import array

match sys.argv[1:]:
    case ["blocks", blocks, length, first]:
        blocks, length, first = int(blocks), int(length), int(first)
    case _:
        print("usage: blocks BLOCKS LENGTH FIRST", file=sys.stderr)
        sys.exit(2)

from mpi4py import MPI  # noqa: E402; sleeps until all ranks are there


def receiver(world):
    block = array("I", bytes(4 * length))
    world.Barrier()
    for _ in range(blocks):
        world.Recv([block, MPI.UINT32_T], 1, 0)
        print(sum(block))


def sender(world):
    sends = []
    #| block = array("I", bytes(4 * length))
    for b in range(blocks):
        #[
        block = array("I", [(first + b) % 2**32]) * length  # its own, and kept by the request
        #]
        #| for i in range(length):
        #|     block[i] = (first + b) % 2**32
        sends.append(world.Isend([block, MPI.UINT32_T], 0, 0))
    world.Barrier()
    MPI.Request.Waitall(sends)  # sleeps, or spins, until all are done


world = MPI.COMM_WORLD
if world.rank == 0:
    receiver(world)
else:
    sender(world)
