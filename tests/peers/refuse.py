"""Starts a program under a seccomp filter that refuses a call: refuse.py NUMBER ERROR PROGRAM WORD…"""
import ctypes
import os
import struct
import sys

CALL, ERROR = int(sys.argv[1]), int(sys.argv[2])
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2
# BPF: load the call's number; if it is this one go on, else skip one; the error; allow.
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | ERROR
code = b"".join(
    struct.pack("HBBI", *step)
    for step in [(LOAD, 0, 0, 0), (JUMP_IF_EQUAL, 0, 1, CALL), (RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
)
text = ctypes.create_string_buffer(code, len(code))


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]


program = Program(len(code) // 8, ctypes.addressof(text))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, ctypes.get_errno()
assert libc.prctl(PR_SET_SECCOMP, FILTER, ctypes.byref(program), 0, 0) == 0, ctypes.get_errno()
os.execv(sys.argv[3], sys.argv[3:])
