#!/usr/bin/env python3
"""The partner of the exercise: partner.py PLACE PIECE...

What it writes on standard error after "partner │ " is its log, which the learner reads if the
stage fails. It ends with a status other than 0, and a line, if the learner's program does wrong.
"""
import os
import sys

place, pieces = sys.argv[1], sys.argv[2:]
fifo = os.open(place, os.O_WRONLY)  # sleeps until the learner's program opens it, too
for piece in pieces:
    print(f"partner │ write({piece!r})", file=sys.stderr)
    os.write(fifo, piece.encode())
os.close(fifo)
