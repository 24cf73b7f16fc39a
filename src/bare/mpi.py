#!/usr/bin/env python3
"""MPI, bare: MPI_Init(3), MPI_Comm_rank(3), MPI_Send(3), MPI_Recv(3), MPI_Finalize(3).

Wire: one MPI_UINT32_T with the tag 1, from rank 1 to rank 0.
Not here: a world of one rank, a message that is no number, an error that ends all ranks.
See chapter mpi. The import calls MPI_Init, and the end of the program MPI_Finalize.
pip install mpi4py; mpiexec -n 2 python3 mpi.py send-receive 4711
"""
import os
import sys
from array import array

match sys.argv[1:]:
    case ["send-receive", number] if number.isdecimal() and int(number) <= 0xFFFFFFFF:
        number = int(number)
    case _:
        print("usage: mpi.py send-receive NUMBER", file=sys.stderr)
        sys.exit(2)

from mpi4py import MPI  # noqa: E402; sleeps until all ranks are there

NUMBER = 1  # the tag


def receiver(world):
    number = array("I", [0])
    world.Recv([number, MPI.UINT32_T], 1, NUMBER)  # sleeps, or spins, until it comes
    os.write(1, b"%d\n" % number[0])


def sender(world, number):
    world.Send([array("I", [number]), MPI.UINT32_T], 0, NUMBER)  # may sleep until rank 0 receives


world = MPI.COMM_WORLD
if world.rank == 0:
    receiver(world)
elif world.rank == 1:
    sender(world, number)
