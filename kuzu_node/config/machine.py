"""What the machine gives this process: memory, name, terminal. Read once at start, an argument everywhere else."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs

MIB = 1 << 20


@attrs.frozen(kw_only=True)
class Machine:
    """`memory_mb` is the smaller of the machine's memory and its control group's limit."""

    memory_mb: int
    host_name: str
    terminal: bool

    @classmethod
    def from_here(cls) -> Machine:
        limit = cgroup_memory_limit()
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return cls(
            memory_mb=(total if limit is None else min(total, limit)) // MIB,
            host_name=socket.gethostname(),
            terminal=sys.stdout is not None and sys.stdout.isatty(),
        )


def cgroup_memory_limit(root: Path = Path("/")) -> int | None:
    """Bytes that the control group of this process and those above it allow; None without a limit."""
    limits = [
        int(text)
        for folder, version in memory_cgroups(root)
        if (text := read_text(folder / ("memory.max" if version == 2 else "memory.limit_in_bytes"))).isdigit()
    ]
    # Version 1 has no word for "no limit": it shows a number near 2**63.
    real = [limit for limit in limits if limit < 1 << 60]
    return min(real) if real else None


def memory_cgroups(root: Path = Path("/")) -> Iterator[tuple[Path, int]]:
    """Folders of the groups that bound this process's memory, from its own upwards, with the interface's version.

    Inside a container the group's path is often that of the host and not visible; its own top folder is.
    """
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, version = root / "sys/fs/cgroup", 2
        elif "memory" in controllers.split(","):
            top, version = root / "sys/fs/cgroup/memory", 1
        else:
            continue
        folder = top / path.lstrip("/")
        while folder != top:
            yield folder, version
            folder = folder.parent
        yield top, version


def read_text(path: Path) -> str:
    """The stripped text of a kernel file; empty when there is none to read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
