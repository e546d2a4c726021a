"""Runs Python in a real child process that is confined as a worker is, and reports what each attempt came to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[3]

_BEFORE = """
import ctypes, json, os, socket, subprocess, sys, threading
sys.path.insert(0, {root!r})
from kuzu_node.worker import sandbox
space = sandbox.AddressSpace()
sandbox.forbid_core_dumps()
if {first!r}:
    sandbox.restrict_to_installation({base!r})
import kuzu, msgspec, pyarrow, pyarrow.csv, pyarrow.parquet
from zoneinfo import ZoneInfo
ZoneInfo("UTC")
pyarrow.csv.read_csv(pyarrow.BufferReader(b"a,b\\n1,x\\n"))
own = {own!r}
if {second!r}:
    sandbox.restrict_to_directory(own)
if {filtered!r}:
    sandbox.forbid_system_calls()

outcomes = {{}}

def attempt(name, action):
    try:
        outcomes[name] = action() or "done"
    except BaseException as error:
        number = getattr(error, "errno", None)
        outcomes[name] = f"{{type(error).__name__}} {{number if number else error}}"

def connect(name="graph.kuzu"):
    database = kuzu.Database(f"{{own}}/{{name}}", buffer_pool_size=64 << 20, max_db_size=1 << 30, max_num_threads=2)
    return kuzu.Connection(database, num_threads=2)

def raw(number, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *arguments) == -1:
        raise OSError(ctypes.get_errno(), "refused")
"""

_AFTER = """
print(json.dumps(outcomes, default=str))
"""


def run_confined(
    base: Path, body: str, *, first: bool = True, second: bool = True, filtered: bool = True, own: str = "mine"
) -> dict[str, str]:
    """What `attempt(name, action)` calls of `body` came to, by name. `own` below `base` is the child's folder."""
    (base / own).mkdir(exist_ok=True)
    head = _BEFORE.format(
        root=str(ROOT), base=str(base), own=str(base / own), first=first, second=second, filtered=filtered
    )
    environment = {
        "PATH": os.environ["PATH"],
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "2",
        "SECRET_OF_THE_NODE": "hunter2",
    }
    ended = subprocess.run(
        [sys.executable, "-c", head + dedent(body) + _AFTER],
        env=environment,
        cwd=base / own,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, f"{ended.returncode}\n{ended.stdout}\n{ended.stderr}"
    outcomes: dict[str, str] = json.loads(ended.stdout.splitlines()[-1])
    return outcomes
