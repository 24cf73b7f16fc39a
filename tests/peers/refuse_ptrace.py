"""Starts a program under a seccomp filter that refuses ptrace(2): refuse_ptrace.py PROGRAM WORD…"""
import ctypes
import os
import platform
import struct
import sys

PTRACE = {"x86_64": 101, "aarch64": 117}[platform.machine()]
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2
# BPF: load the call's number; if it is ptrace's go on, else skip one; EPERM; allow.
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, EPERM = 0x7FFF0000, 0x00050000 | 1
code = b"".join(
    struct.pack("HBBI", *step)
    for step in [(LOAD, 0, 0, 0), (JUMP_IF_EQUAL, 0, 1, PTRACE), (RETURN, 0, 0, EPERM), (RETURN, 0, 0, ALLOW)]
)
text = ctypes.create_string_buffer(code, len(code))


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]


program = Program(len(code) // 8, ctypes.addressof(text))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, ctypes.get_errno()
assert libc.prctl(PR_SET_SECCOMP, FILTER, ctypes.byref(program), 0, 0) == 0, ctypes.get_errno()
os.execv(sys.argv[1], sys.argv[1:])
