#!/usr/bin/env python3
"""Two streams of one command: pipe(2), poll(2), read(2), waitpid(2).

python3 run.py run sh -c 'echo hello; echo oh >&2'
"""
import os
import selectors
import subprocess
import sys


def run(*command):
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe) as child:
        #[
        kept = {child.stdout: b"", child.stderr: b""}
        with selectors.PollSelector() as streams:
            for stream in kept:
                streams.register(stream, selectors.EVENT_READ)
            while streams.get_map():
                for ready, _ in streams.select():  # sleeps until one has data, or has ended
                    data = os.read(ready.fd, 65536)
                    kept[ready.fileobj] += data
                    if not data:
                        streams.unregister(ready.fileobj)  # or select returns at once for ever
        out, err = kept.values()
        #]
        #| out = child.stdout.read()  # sleeps until its end
        #| err = child.stderr.read()  # sleeps until its end
        status = child.wait()  # sleeps until the command has ended
    for head, text in [(f"status {status}", b""), (f"out {len(out)}", out), (f"err {len(err)}", err)]:
        sys.stdout.buffer.write(head.encode() + b"\n" + text)


match sys.argv[1:]:
    case ["run", _, *_]:
        run(*sys.argv[2:])
    case _:
        print("usage: run COMMAND ARGUMENT...", file=sys.stderr)
        sys.exit(2)
