#!/usr/bin/env python3
"""A command at a terminal of its own: openpty(3), setsid(2), TIOCSCTTY, tcsetattr(3).

python3 terminal.py terminal tty < /dev/null | cat
"""
#[
import fcntl
#]
import os
import sys
#[
import termios
#]
import threading


def become_the_command(words, slave):
    """Makes of this process the command; returns only if that fails."""
    try:
        #[
        os.setsid()  # without a terminal; the next line gives it this one
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for fd in range(3):
            os.dup2(slave, fd)
        #]
        os.execvp(words[0], words)
    except OSError as error:
        os.write(2, f"{words[0]}: {error}\n".encode())


def type_keys(master):
    """What comes from standard input, and then its end."""
    #[
    last = b"\n"
    while data := os.read(0, 1024):  # sleeps until there is something
        last = data[-1:]
        while data:
            data = data[os.write(master, data):]
    # Ctrl-D: whoever reads gets what is there. Within a line, that is not the end yet.
    os.write(master, b"\x04" if last == b"\n" else b"\x04\x04")
    #]


def terminal(words):
    master, slave = os.openpty()  # both close-on-exec
    #[
    modes = termios.tcgetattr(slave)
    modes[1] &= ~termios.OPOST  # or a newline comes out as two bytes
    modes[3] &= ~termios.ECHO
    termios.tcsetattr(slave, termios.TCSANOW, modes)
    #]
    child = os.fork()  # before there is a second thread
    if child == 0:
        become_the_command(words, slave)
        os._exit(127)
    os.close(slave)  # or the terminal is never closed
    threading.Thread(target=type_keys, args=(master,), daemon=True).start()
    #[
    try:
        while data := os.read(master, 4096):  # sleeps until something is printed
            while data:
                data = data[os.write(1, data):]
    except OSError:
        pass  # EIO: the last process has closed the terminal
    #]
    _, status = os.waitpid(child, 0)
    if status != 0:
        sys.exit(f"{words[0]}: status {os.waitstatus_to_exitcode(status)}")


match sys.argv[1:]:
    case ["terminal", word, *more]:
        terminal([word, *more])
    case _:
        print("usage: terminal.py terminal COMMAND ARGUMENT...", file=sys.stderr)
        sys.exit(2)
