"""`kuzu-node check`: what a start would meet on this machine, one finding a line."""

from __future__ import annotations

import enum
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import psutil
from rich.markup import escape
from rich.table import Table

from kuzu_node import config as configuration
from kuzu_node.config import EngineConfig, NodeConfig, SandboxMode
from kuzu_node.engine.files import can_reflink
from kuzu_node.observe.system import find_mount_point

ENGINE_VERSION = "0.11.3"
PROBE_SECONDS = 30
MIB = 1 << 20
GIB = 1 << 30
# Send buffer of a lane: below it, a worker waits for the node a little more often.
WANTED_SEND_BUFFER = 4 * MIB
LOW_DISK = 2 * GIB
# Client connections, files in flight and the interpreter's own.
OTHER_DESCRIPTORS = 512
LANES_PER_SLOT = 4


class Grade(enum.Enum):
    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


COLORS = {Grade.OK: "green", Grade.NOTE: "cyan", Grade.WARNING: "yellow", Grade.ERROR: "bold red"}


@attrs.frozen
class Finding:
    subject: str
    grade: Grade
    text: str


def examine(options: Mapping[str, str]) -> list[Finding]:
    """All findings; without a usable configuration only those that need none."""
    probe = probe_worker()
    try:
        config = configuration.from_process(options)
    except configuration.ConfigurationError as error:
        return [Finding("configuration", Grade.ERROR, str(error)), check_engine(probe)]
    return [
        *check_configuration(config),
        check_engine(probe),
        check_sandbox(probe, config.engine.sandbox),
        *check_folder(config.identity.base_path),
        check_memory(config.engine, psutil.virtual_memory().available),
        check_send_buffer(Path("/proc/sys/net/core/wmem_max")),
        check_descriptors(config.engine, resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
    ]


def as_table(findings: list[Finding]) -> Table:
    table = Table("", "", "finding")
    for finding in findings:
        color = COLORS[finding.grade]
        table.add_row(escape(finding.subject), f"[{color}]{finding.grade.value}[/]", escape(finding.text))
    return table


def check_configuration(config: NodeConfig) -> Iterator[Finding]:
    identity, http, engine = config.identity, config.http, config.engine
    yield Finding(
        "configuration",
        Grade.OK,
        f"{identity.node_type}, tier {identity.tier}, {http.host} port {http.port}, {len(http.api_keys)} keys, "
        f"{engine.slots} slots, query timeout {engine.query_timeout:g} s",
    )
    for note in configuration.warnings(config):
        yield Finding("configuration", Grade.WARNING, note)


def probe_worker(executable: str = sys.executable) -> dict[str, Any] | str:
    """What a worker process says about engine and kernel, or why it could not. The engine is imported only there."""
    command = [executable, "-m", "kuzu_node.worker", "--probe"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the worker process does not start: {error}"
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:]
        return f"the worker process ended with {done.returncode}: {' '.join(last) or 'it said nothing'}"
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        return f"the worker process answered {done.stdout[:200]!r}"
    return answer if isinstance(answer, dict) else f"the worker process answered {done.stdout[:200]!r}"


def check_engine(probe: dict[str, Any] | str) -> Finding:
    if isinstance(probe, str):
        return Finding("engine", Grade.ERROR, probe)
    version = probe.get("engine_version")
    if version != ENGINE_VERSION:
        return Finding("engine", Grade.ERROR, f"Kuzu {version} is installed, the node is made for {ENGINE_VERSION}")
    return Finding("engine", Grade.OK, f"Kuzu {version}, storage version {probe.get('storage_version')}")


def check_sandbox(probe: dict[str, Any] | str, mode: SandboxMode) -> Finding:
    if isinstance(probe, str):
        return Finding("sandbox", Grade.ERROR, "unknown, since the worker process does not run")
    landlock, seccomp = probe.get("landlock_abi", 0), probe.get("seccomp", False)
    text = f"Landlock {f'ABI {landlock}' if landlock else 'missing'}, seccomp {'present' if seccomp else 'missing'}"
    if mode == "off":
        return Finding("sandbox", Grade.WARNING, f"off by KUZU_SANDBOX; {text}")
    if landlock and seccomp:
        return Finding("sandbox", Grade.OK, text)
    grade = Grade.ERROR if mode == "required" else Grade.WARNING
    return Finding("sandbox", grade, f"{text}: a query that passes the screen reaches this machine's files")


def check_folder(base_path: Path) -> Iterator[Finding]:
    """Leaves nothing behind: a folder that is not there yet is judged by the nearest one above it."""
    folder = base_path
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield Finding("base folder", Grade.ERROR, f"{folder} is not a folder that this user can write to")
        return
    yield Finding("base folder", Grade.OK, f"{base_path}{'' if folder == base_path else ' (will be made)'}")
    mount_point = find_mount_point(folder)
    try:
        reflink = can_reflink(folder)
    except OSError as error:
        yield Finding("file system", Grade.ERROR, f"{mount_point}: {error}")
        return
    text = (
        "reflink: files are set aside without a copy" if reflink else "no reflink: a checkpoint copies the file first"
    )
    yield Finding("file system", Grade.OK if reflink else Grade.NOTE, f"{mount_point}: {text}")
    usage = psutil.disk_usage(str(folder))
    free = f"{usage.free / GIB:.1f} of {usage.total / GIB:.1f} GiB free"
    yield Finding("disk", Grade.WARNING if usage.free < LOW_DISK else Grade.OK, free)


def check_memory(engine: EngineConfig, available: int) -> Finding:
    text = (
        f"{engine.max_memory_mb} MB for workers, {engine.memory_per_db_mb} MB each ({engine.buffer_pool_mb} MB pool): "
        f"{engine.max_open} open at once; {available // MIB} MB available now"
    )
    return Finding("memory", Grade.WARNING if engine.max_memory_mb > available // MIB else Grade.OK, text)


def check_send_buffer(file: Path) -> Finding:
    try:
        largest = int(file.read_text())
    except (OSError, ValueError):
        return Finding("socket buffers", Grade.NOTE, f"{file} cannot be read")
    text = f"wmem_max is {largest // 1024} KiB"
    if largest < WANTED_SEND_BUFFER:
        text += "; 4 MiB make large results faster: sysctl net.core.wmem_max=4194304"
        return Finding("socket buffers", Grade.NOTE, text)
    return Finding("socket buffers", Grade.OK, text)


def check_descriptors(engine: EngineConfig, limit: int) -> Finding:
    """A database needs a socket for each lane, one for control and a pidfd."""
    needed = engine.max_open * (engine.slots * LANES_PER_SLOT + 2) + OTHER_DESCRIPTORS
    shown = "no limit" if limit == resource.RLIM_INFINITY else str(limit)
    text = f"{shown}; {engine.max_open} open databases and their clients need about {needed}"
    enough = limit == resource.RLIM_INFINITY or limit >= needed
    return Finding("open files", Grade.OK if enough else Grade.WARNING, text if enough else f"{text}: raise ulimit -n")
