"""Landlock: which files the worker reaches. Two layers, each of which can only take away.

A layer binds the thread that asks for it and the threads it starts later. Before ABI 8 (TSYNC), threads that the
imports have started keep the first layer alone: they are idle pools of pyarrow and jemalloc to which no statement can
give a path, and the engine starts its own threads afterwards.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import site
import struct
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from zoneinfo import TZPATH

from kuzu_node.worker.sandbox.kernel import SandboxUnavailable, forbid_new_privileges, syscall

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_TSYNC_FLAG, _TSYNC_ABI = 1 << 3, 8

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
# Highest bit that each version of the interface knows, from linux/landlock.h.
_FILE_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_TCP_ABI, _BIND_TCP, _CONNECT_TCP = 4, 1, 2
_SCOPE_ABI, _ABSTRACT_UNIX_SOCKET, _SIGNAL = 6, 1, 2

READ = READ_FILE | READ_DIR
# No links: the node follows paths below the folder too, with more rights than the worker has.
READ_AND_WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER | TRUNCATE
_OF_FILES = WRITE_FILE | READ_FILE | TRUNCATE

_LIBRARY_FOLDERS = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64")
_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/localtime", "/dev/urandom", "/dev/null")
_IMPORTED = ("kuzu", "msgspec", "pyarrow")


def landlock_abi() -> int:
    """The version of the kernel's Landlock, 0 without one."""
    try:
        return syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    except OSError:
        return 0


def restrict_to_installation(databases: str) -> None:
    """Reads of what the interpreter and its packages consist of, reads and writes below `databases`, no TCP.

    To be called on the main thread while it is the only one, before the engine is imported. A later layer takes away
    only, so this one must leave the folder that holds every database. Raises SandboxUnavailable or OSError.
    """
    rules = [(path, READ) for path in sorted(set(_installation()))]
    rules.append((os.path.realpath(databases), READ_AND_WRITE))
    _restrict(rules, scoped=True)


def restrict_to_directory(path: str) -> None:
    """Reads and writes below `path`, nothing else, not even /proc. Raises SandboxUnavailable or OSError.

    To be called on the main thread, after everything is imported and before the engine opens the database.
    """
    _restrict([(path, READ_AND_WRITE)], scoped=False)


def _installation() -> Iterator[str]:
    candidates = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, *TZPATH]
    candidates += [*sysconfig.get_paths().values(), *site.getsitepackages(), *_LIBRARY_FOLDERS, *_SYSTEM_FILES]
    candidates += [str(Path(__file__).parents[2])]
    for name in _IMPORTED:
        # Not below the prefixes when installed with --user or found on the path.
        found = importlib.util.find_spec(name)
        if found is not None and found.origin is not None:
            candidates.append(str(Path(found.origin).parents[1]))
    for candidate in candidates:
        if os.path.exists(candidate):
            yield os.path.realpath(candidate)


def _restrict(rules: Iterable[tuple[str, int]], *, scoped: bool) -> None:
    abi = landlock_abi()
    if not abi:
        raise SandboxUnavailable("the kernel has no Landlock")
    handled = (1 << _FILE_BITS.get(abi, 16)) - 1
    tcp = _BIND_TCP | _CONNECT_TCP if abi >= _TCP_ABI else 0
    # Once is enough: a second scope would part this thread from those that are bound by the first alone.
    scope = _ABSTRACT_UNIX_SOCKET | _SIGNAL if scoped and abi >= _SCOPE_ABI else 0
    attributes = struct.pack("=Q", handled)
    if abi >= _TCP_ABI:
        attributes += struct.pack("=Q", tcp)
    if abi >= _SCOPE_ABI:
        attributes += struct.pack("=Q", scope)
    ruleset = syscall(_CREATE_RULESET, ctypes.create_string_buffer(attributes, len(attributes)), len(attributes), 0)
    try:
        for path, access in rules:
            _allow(ruleset, path, access & handled)
        forbid_new_privileges()
        syscall(_RESTRICT_SELF, ruleset, _TSYNC_FLAG if abi >= _TSYNC_ABI else 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not os.path.isdir(path):
            access &= _OF_FILES
        rule = struct.pack("=Qi", access, beneath)
        syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.create_string_buffer(rule, len(rule)), 0)
    finally:
        os.close(beneath)
