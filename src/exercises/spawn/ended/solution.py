#!/usr/bin/env python3
"""Tells how a command has ended: fork(2), execvp(3), waitpid(2).

python3 ended.py runner sh -c 'exit 3'
"""
import os
import sys


def runner(words):
    #[
    child = os.fork()
    if child == 0:
        try:
            os.execvp(words[0], words)
        except OSError as error:
            os.write(2, f"{words[0]}: {error}\n".encode())
        os._exit(127)  # only if execvp has failed
    _, status = os.waitpid(child, 0)  # sleeps until the command has ended
    if os.WIFSIGNALED(status):
        os.write(1, b"signal %d\n" % os.WTERMSIG(status))
    else:
        os.write(1, b"status %d\n" % os.WEXITSTATUS(status))
    #]
    #| sys.exit("runner: not written yet")


match sys.argv[1:]:
    case ["runner", word, *more]:
        runner([word, *more])
    case _:
        print("usage: ended.py runner COMMAND [ARGUMENT...]", file=sys.stderr)
        sys.exit(2)
