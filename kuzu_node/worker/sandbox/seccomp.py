"""The filter of system calls that a worker starts to live under when it is given a database.

A list of what is refused, not of what is allowed: the engine, the encoders and the C library may use whatever else
they come to need. Refused calls answer EPERM, so that the caller reports an error instead of dying.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from kuzu_node.worker.sandbox import calls
from kuzu_node.worker.sandbox.kernel import SandboxUnavailable, forbid_new_privileges, syscall

_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
_TSYNC = 1
_RET_ALLOW, _RET_ERRNO, _RET_KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_X32_BIT = 0x40000000

# Classic BPF, from linux/bpf_common.h; offsets are those of struct seccomp_data on little-endian machines.
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_GREATER_OR_EQUAL, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16

_CLONE_THREAD = 0x00010000


@dataclass(frozen=True, slots=True)
class _Machine:
    column: int
    audit_arch: int
    seccomp: int


_MACHINES = {"x86_64": _Machine(0, 0xC000003E, 317), "aarch64": _Machine(1, 0xC00000B7, 277)}


@dataclass(frozen=True, slots=True)
class _Condition:
    """Refused when `argument & mask` is `value`, or is not when `unless`."""

    numbers: calls.Numbers
    argument: int
    mask: int
    value: int
    unless: bool = False


class _Program:
    """Instructions of the filter, in order."""

    def __init__(self) -> None:
        self._code: list[bytes] = []

    def add(self, operation: int, operand: int, *, jump_true: int = 0, jump_false: int = 0) -> None:
        self._code.append(struct.pack("=HBBI", operation, jump_true, jump_false, operand))

    def code(self) -> bytes:
        return b"".join(self._code)


class _SockFprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def seccomp_available() -> bool:
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return False
    action = ctypes.create_string_buffer(struct.pack("=I", _RET_ERRNO), 4)
    try:
        syscall(machine.seccomp, _GET_ACTION_AVAIL, 0, action)
    except OSError:
        return False
    return True


def forbid_system_calls() -> None:
    """Binds every thread of the process, for good. Raises SandboxUnavailable or OSError.

    Among what is refused: sockets, programs, processes, and executable pages, so that no shared library can be loaded
    any more, not even from a folder that the worker may read. What is needed must have been imported before.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        raise SandboxUnavailable(f"no table of system calls for {platform.machine()}")
    if not seccomp_available():
        raise SandboxUnavailable("the kernel has no seccomp filters")
    code = _filter(machine, os.getpid()).code()
    program = _SockFprog(len(code) // 8, code)
    forbid_new_privileges()
    refused_by = syscall(machine.seccomp, _SET_MODE_FILTER, _TSYNC, program)
    if refused_by:
        raise SandboxUnavailable(f"thread {refused_by} cannot take the filter")


def _conditions(pid: int) -> Iterator[_Condition]:
    # Threads are clones too; fork is a clone without CLONE_THREAD.
    yield _Condition(calls.CLONE, 0, _CLONE_THREAD, 0)
    yield _Condition(calls.MMAP, 2, mmap.PROT_EXEC, mmap.PROT_EXEC)
    yield _Condition(calls.MPROTECT, 2, mmap.PROT_EXEC, mmap.PROT_EXEC)
    # Before version 3, Landlock lets whoever may read a file truncate it.
    truncates = os.O_TRUNC | os.O_ACCMODE
    yield _Condition(calls.OPEN, 1, truncates, os.O_TRUNC | os.O_RDONLY)
    yield _Condition(calls.OPENAT, 2, truncates, os.O_TRUNC | os.O_RDONLY)
    # abort() signals its own process; nothing else needs a signal.
    yield _Condition(calls.KILL, 0, 0xFFFFFFFF, pid, unless=True)
    yield _Condition(calls.TGKILL, 0, 0xFFFFFFFF, pid, unless=True)
    yield _Condition(calls.PRLIMIT64, 0, 0xFFFFFFFF, 0, unless=True)


def _filter(machine: _Machine, pid: int) -> _Program:
    refuse = _RET_ERRNO | errno.EPERM
    # clone3 and openat2 keep their arguments in memory, out of a filter's sight; the C library falls back on the old.
    absent = _RET_ERRNO | errno.ENOSYS
    program = _Program()
    program.add(_LOAD, _ARCHITECTURE_AT)
    program.add(_JUMP_IF_EQUAL, machine.audit_arch, jump_true=1)
    program.add(_RETURN, _RET_KILL_PROCESS)
    program.add(_LOAD, _NUMBER_AT)
    if machine.audit_arch == _MACHINES["x86_64"].audit_arch:
        program.add(_JUMP_IF_GREATER_OR_EQUAL, _X32_BIT, jump_false=1)
        program.add(_RETURN, refuse)
    for numbers in (calls.CLONE3, calls.OPENAT2):
        program.add(_JUMP_IF_EQUAL, numbers[machine.column] or 0, jump_false=1)
        program.add(_RETURN, absent)
    for condition in _conditions(pid):
        number = condition.numbers[machine.column]
        if number is not None:
            _add_condition(program, number, condition, refuse)
    for name in calls.REFUSED:
        number = calls.REFUSED[name][machine.column]
        if number is not None:
            program.add(_JUMP_IF_EQUAL, number, jump_false=1)
            program.add(_RETURN, refuse)
    program.add(_RETURN, _RET_ALLOW)
    return program


def _add_condition(program: _Program, number: int, condition: _Condition, refuse: int) -> None:
    program.add(_JUMP_IF_EQUAL, number, jump_false=5)
    program.add(_LOAD, _ARGUMENTS_AT + 8 * condition.argument)
    program.add(_AND, condition.mask)
    program.add(_JUMP_IF_EQUAL, condition.value, jump_true=condition.unless, jump_false=not condition.unless)
    program.add(_RETURN, refuse)
    program.add(_RETURN, _RET_ALLOW)
