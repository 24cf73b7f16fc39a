"""The ring of shm and mmap by the standard library; the page shm has the layout."""

import os
import time

SENDER, RECEIVER, STATE, HEAD, TAIL, DATA = 32, 48, 64, 128, 256, 384


class Ring:
    def __init__(self, memory):
        memory = memoryview(memory)
        if memory[:8] != b"ipc-ring" or memory[8:12].cast("I")[0] != 1:
            raise ValueError("no ring of version 1")
        # cast: each index is one load or store of 4 or 8 bytes, never half of one
        self.u32, self.u64 = memory[:DATA].cast("I"), memory[:DATA].cast("Q")
        self.capacity = self.u64[16 // 8]
        self.data = memory[DATA : DATA + self.capacity]
        self.views = [memory, self.u32, self.u64, self.data]

    def join(self, side):
        """Says who we are, so that the other side notices should we die."""
        with open("/proc/self/stat") as stat:
            self.u64[side // 8 + 1] = int(stat.read().rsplit(")", 1)[1].split()[19])
        self.u32[side // 4] = os.getpid()

    def get(self, index, length):
        at = index % self.capacity
        first = bytes(self.data[at : at + length])
        return first + bytes(self.data[: length - len(first)])

    def put(self, index, message):
        at = index % self.capacity
        straight = min(len(message), self.capacity - at)
        self.data[at : at + straight] = message[:straight]
        self.data[: len(message) - straight] = message[straight:]

    def receive(self):
        """Yields each message, until the sender has said goodbye."""
        tail = self.u64[TAIL // 8]
        while True:
            closed = self.u32[STATE // 4]  # before head: see all that came before it
            head = self.u64[HEAD // 8]
            if head != tail:
                length = int.from_bytes(self.get(tail, 4), "little")
                yield self.get(tail + 4, length)
                tail += 4 + length
                self.u64[TAIL // 8] = tail
            elif closed:
                self.u32[STATE // 4] = 2
                return
            else:
                time.sleep(0.001)

    def send(self, message):
        """Writes one message; waits while there is no room for it."""
        need, head = 4 + len(message), self.u64[HEAD // 8]
        while self.capacity - (head - self.u64[TAIL // 8]) < need:
            time.sleep(0.001)
        self.put(head, len(message).to_bytes(4, "little") + message)
        self.u64[HEAD // 8] = head + need

    def close(self):
        self.u32[STATE // 4] = 1

    def release(self):
        """Lets go of the memory: a map with views into it cannot be closed."""
        for view in reversed(self.views):
            view.release()
