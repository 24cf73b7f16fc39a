#!/usr/bin/env python3
"""What a command prints, and how it ends: pipe(2), fork(2), execve(2), read(2), waitpid(2).

python3 run.py run sh -c 'echo hello; exit 3'
"""
import os
import sys


def run(*command):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 1)
        try:
            # Python's os.pipe makes both ends close-on-exec: the command gets 0, 1 and 2 alone.
            os.execvp(command[0], command)
        except OSError as error:
            print(f"{command[0]}: {error.strerror}", file=sys.stderr)
            os._exit(127)
    #[
    os.close(writing)  # or read never returns b"": this process is a writer as well
    printed = b""
    while data := os.read(reading, 65536):  # sleeps until the command prints
        printed += data
    # Before the end of all output a wait could last for ever: the pipe is full at 64 KiB.
    _, status = os.waitpid(child, 0)  # sleeps until the command has ended
    #]
    #| _, status = os.waitpid(child, 0)  # sleeps until the command has ended
    #| printed = b""
    #| while data := os.read(reading, 65536):
    #|     printed += data
    code = os.waitstatus_to_exitcode(status)
    print(f"signal {-code}" if code < 0 else f"status {code}", flush=True)
    sys.stdout.buffer.write(printed)


match sys.argv[1:]:
    case ["run", _, *_]:
        run(*sys.argv[2:])
    case _:
        print("usage: run COMMAND ARGUMENT...", file=sys.stderr)
        sys.exit(2)
