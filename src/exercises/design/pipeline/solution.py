#!/usr/bin/env python3
"""A pipeline: pipe(2), fork(2), dup2(2), close(2), execve(2), waitpid(2), by subprocess.

python3 pipeline.py run 'seq 9999999' 'head -n 3'
"""
#[
import subprocess
#]
import sys


def run(commands):
    #[
    source, children = None, []
    for command in commands:
        output = None if len(children) + 1 == len(commands) else subprocess.PIPE
        child = subprocess.Popen(["sh", "-c", command], stdin=source, stdout=output)
        children.append(child)
        if source:
            source.close()  # ours: the command's own is enough
        source = child.stdout
    statuses = [child.wait() for child in children]  # sleeps
    sys.exit(statuses[-1] if statuses[-1] >= 0 else 128 - statuses[-1])
    #]
    #| # Start all of `commands`, each with its output piped to the next, and wait for them.
    #| sys.exit(f"run {commands}: not written yet")


match sys.argv[1:]:
    case ["run", *commands] if commands:
        run(commands)
    case _:
        print("usage: run COMMAND...", file=sys.stderr)
        sys.exit(2)
