#!/usr/bin/env python3
"""Texts of any length: MPI_Probe(3), MPI_Get_count(3), MPI_Recv(3), MPI_Send(3).

pip install mpi4py; mpiexec -n 2 python3 texts.py texts hello world
"""
import os
import sys

if sys.argv[1:2] != ["texts"]:
    print("usage: texts MESSAGE...", file=sys.stderr)
    sys.exit(2)

from mpi4py import MPI  # noqa: E402; sleeps until all ranks are there

TEXT, END = 1, 2  # the tags


def receiver(world):
    status = MPI.Status()
    while True:
        #[
        # Sleeps, or spins, until a message has come, and leaves it where it is.
        world.Probe(source=1, tag=MPI.ANY_TAG, status=status)
        text = bytearray(status.Get_count(MPI.CHAR))
        world.Recv([text, MPI.CHAR], source=1, tag=status.Get_tag())
        #]
        #| text = bytearray(16)
        #| # Sleeps, or spins, until a message has come.
        #| world.Recv([text, MPI.CHAR], source=1, tag=MPI.ANY_TAG, status=status)
        #| text = text[:status.Get_count(MPI.CHAR)]
        if status.Get_tag() == END:
            break
        os.write(1, text + b"\n")


def sender(world, texts):
    for text in texts:
        world.Send([text.encode(), MPI.CHAR], dest=0, tag=TEXT)
    world.Send([b"", MPI.CHAR], dest=0, tag=END)


world = MPI.COMM_WORLD
if world.rank == 0:
    receiver(world)
else:
    sender(world, sys.argv[2:])
