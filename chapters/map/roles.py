#!/usr/bin/env python3
"""Captures `ipclab map` of each chapter's roles, which are connected and idle: roles.py [CHAPTER]…

For each chapter it writes `roles/CHAPTER.svg`. `capture` starts it, with the program in PATH.
"""
import os
import pathlib
import pty
import shutil
import subprocess
import sys
import tempfile
import time

# The roles in the order in which they start, with their arguments.
ROLES = {
    "spawn": [["parent"]],
    "file": [["receiver", "--append"], ["sender", "--append"]],
    "signal": [["receiver"], ["sender"]],
    "fifo": [["receiver"], ["sender"]],
    "unix": [["server"], ["client"]],
    "tcp": [["server"], ["client"]],
    "udp": [["server"], ["client"]],
    "posixmq": [["receiver"], ["sender"]],
    "sysvmq": [["receiver"], ["sender"]],
    "shm": [["receiver"], ["sender"]],
    "mmap": [["receiver"], ["sender"]],
    "mutex": [["worker"], ["worker"], ["producer"]],
    "eventfd": [["waiter"], ["notifier"]],
    "fdpass": [["server"], ["worker"], ["client"]],
    "multiplex": [["server"], ["client"], ["client"]],
    "semaphore": [["waiter"]],
    "procvm": [["target"], ["reader"]],
    "pipe": [["receiver"], ["sender"]],
}


def asleep(pid):
    """Whether the process sleeps in a system call."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        sys.exit(f"process {pid} has ended")
    return state == "S"


def children(pid):
    """The processes that it has started, which are to be in the picture, too."""
    return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def settled(pid):
    """Waits until it has slept at ten looks in a row."""
    looks = 0
    while looks < 10:
        looks = looks + 1 if asleep(pid) else 0
        time.sleep(0.02)


def start(words, directory, standard):
    """Starts a role in a session of its own, with a terminal of its own that nobody types at."""
    master, terminal = pty.openpty()
    streams = {name: standard.get(name, terminal) for name in ("stdin", "stdout", "stderr")}
    environment = {**os.environ, "IPCLAB_DIR": directory, "COLUMNS": "80"}
    process = subprocess.Popen(words, **streams, env=environment, start_new_session=True)
    os.close(terminal)
    settled(process.pid)
    return process, master


def capture(chapter, folder):
    # The same name each time: it is in the picture.
    directory = os.path.join(tempfile.gettempdir(), "ipclab-map")
    os.mkdir(directory, 0o700)
    try:
        started, masters, standard = [], [], [{} for _ in ROLES[chapter]]
        if chapter == "pipe":
            reading, writing = os.pipe()
            standard = [{"stdin": reading}, {"stdout": writing}]
        for (role, *arguments), streams in zip(ROLES[chapter], standard):
            process, master = start(["ipclab", chapter, role, *arguments], directory, streams)
            for end in streams.values():
                os.close(end)
            started.append(process)
            masters.append(master)
        picture = folder / f"{chapter}.svg"
        pids = [str(process.pid) for process in started]
        for pid in [child for pid in pids for child in children(pid)]:
            settled(pid)
            pids.append(pid)
        if chapter in TYPED:
            os.write(masters[-1], TYPED[chapter])
            settled(started[-1].pid)
            settled(started[0].pid)
        only = ["--only", ",".join(KINDS.get(chapter, [chapter])), *NAMED.get(chapter, [])]
        subprocess.run(["ipclab", "map", *pids, *only, "--plain-ids", "--svg", picture],
                       check=True, stdout=subprocess.DEVNULL)
        for process in started:
            process.terminate()
            process.wait()
        for master in masters:
            os.close(master)
    finally:
        subprocess.run(["ipclab", "clean", "--pending"], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "IPCLAB_DIR": directory})
        shutil.rmtree(directory)


# Which objects a chapter's map shows: of these kinds; the chapter's name is one of them for most. A lock file by which
# a role holds its place is none of them.
KINDS = {
    "spawn": ["pipe"],
    "file": ["file"], "signal": ["pidfd"], "posixmq": ["posix-queue"], "sysvmq": ["sysv-queue"],
    "shm": ["segment", "posix-semaphore"], "mmap": ["file"], "mutex": ["segment"],
    "fdpass": ["unix", "tcp"],
    "eventfd": ["eventfd", "unix", "epoll"], "procvm": ["eventfd", "pidfd"], "multiplex": ["unix", "epoll"], "semaphore": ["posix-semaphore"],
}
NAMED = {"file": ["--named", "file"], "mmap": ["--named", "mmap"]}
# What is typed at the last role before the map is drawn: nobody holds a System V queue, and who has used it is known.
TYPED = {"sysvmq": b"hello\n"}

if __name__ == "__main__":
    folder = pathlib.Path(__file__).with_name("roles")
    folder.mkdir(exist_ok=True)
    for chapter in sys.argv[1:] or ROLES:
        capture(chapter, folder)
