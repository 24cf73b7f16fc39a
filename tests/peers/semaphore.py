"""A stranger at a semaphore: semaphore.py MODULE post|wait|make-and-wait NAME N.

MODULE is posix_ipc (NAME as /name), sysv_ipc (NAME as a key), or mmap: the counter of
`--kind futex`, of which the standard library can change the word, but not wake a sleeper.
"""

import sys

module, what = sys.argv[1], sys.argv[2]

if module == "mmap":
    import mmap
    import struct

    name, times = sys.argv[3], int(sys.argv[4])
    with open("/dev/shm/" + name, "r+b") as file:
        word = mmap.mmap(file.fileno(), 4)
        value = struct.unpack("=I", word[:4])[0]
        word[:4] = struct.pack("=I", value + times)
    sys.exit()

library = __import__(module)
name, times = sys.argv[3], int(sys.argv[4])
if module == "sysv_ipc":
    name, make = int(name), library.IPC_CREX
else:
    make = library.O_CREX

if what == "make-and-wait":
    semaphore = library.Semaphore(name, make, 0o600, initial_value=0)
    print("ready", flush=True)
else:
    semaphore = library.Semaphore(name)

for number in range(1, times + 1):
    if what == "post":
        semaphore.release()
    else:
        semaphore.acquire()
        print(f"took {number}", flush=True)

if what == "make-and-wait":
    semaphore.unlink() if module == "posix_ipc" else semaphore.remove()
    print("removed", flush=True)
