"""System calls that Python has no function for, made through the C library's `syscall`."""

from __future__ import annotations

import ctypes
import os

_PR_SET_NO_NEW_PRIVS = 38


class SandboxUnavailable(Exception):
    """The kernel, or the machine's architecture, cannot confine the worker as asked."""


def syscall(number: int, *arguments: int | ctypes.Array[ctypes.c_char] | ctypes.Structure | None) -> int:
    """The result of a system call; integers fill a register, buffers and structures go by reference. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    registers = [_register(value) for value in arguments]
    result: int = libc.syscall(ctypes.c_long(number), *registers)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _register(value: int | ctypes.Array[ctypes.c_char] | ctypes.Structure | None) -> object:
    if isinstance(value, int):
        return ctypes.c_long(value)
    return None if value is None else ctypes.byref(value)


def forbid_new_privileges() -> None:
    """Both Landlock and seccomp demand it of a process without CAP_SYS_ADMIN; it cannot be taken back."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
