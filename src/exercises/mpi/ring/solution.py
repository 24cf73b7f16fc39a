#!/usr/bin/env python3
"""A ring of ranks: MPI_Sendrecv(3), MPI_Gather(3).

pip install mpi4py; mpiexec -n 3 python3 ring.py ring 10 1
"""
import sys
from array import array

match sys.argv[1:]:
    case ["ring", count, first]:
        count, first = int(count), int(first)
    case _:
        print("usage: ring COUNT FIRST", file=sys.stderr)
        sys.exit(2)

from mpi4py import MPI  # noqa: E402; sleeps until all ranks are there

world = MPI.COMM_WORLD
rank, ranks = world.rank, world.size
following, before = (rank + 1) % ranks, (rank - 1) % ranks
mine = array("I", [(first + rank + i) % 2**32 for i in range(count)])
theirs = array("I", bytes(4 * count))
#[
# Sends and receives at the same time.
world.Sendrecv([mine, MPI.UINT32_T], following, 0, [theirs, MPI.UINT32_T], before, 0)
#]
#| world.Send([mine, MPI.UINT32_T], following, 0)
#| world.Recv([theirs, MPI.UINT32_T], before, 0)
sums = world.gather(sum(theirs), root=0)
for total in sums or []:
    print(total)
