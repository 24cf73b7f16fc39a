"""Receives from `shm sender` of the kinds posix and crate: shm_receiver.py NAME"""

import pathlib
import sys
from multiprocessing import resource_tracker, shared_memory

from ring import RECEIVER, Ring

memory = shared_memory.SharedMemory(name=sys.argv[1])
# Before Python 3.13 also one who only attaches is taken for an owner, whose segment is
# unlinked when he ends. (3.13: SharedMemory(…, track=False).)
resource_tracker.unregister(memory._name, "shared_memory")

ring = Ring(memory.buf)
ring.join(RECEIVER)
print("joined", file=sys.stderr, flush=True)
for message in ring.receive():
    sys.stdout.buffer.write(message + b"\n")
    sys.stdout.flush()
ring.release()
memory.close()
# Who takes the goodbye removes the ring, unless the sender left last and has done so.
pathlib.Path("/dev/shm", sys.argv[1]).unlink(missing_ok=True)
