"""What the machine and this process use: CPU, memory, disk. Sampled beside the requests, which read the last sample.

Memory is that of the control group where one sets a limit, else the machine's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import psutil
import structlog
import trio

from kuzu_node.config.machine import cgroup_memory_limit, memory_cgroups, read_text

ROOT = Path("/")

log = structlog.get_logger()


@attrs.frozen(kw_only=True)
class MemoryUse:
    total_bytes: int
    available_bytes: int

    @property
    def used_bytes(self) -> int:
        return self.total_bytes - self.available_bytes

    @property
    def percent(self) -> float:
        return 100 * self.used_bytes / self.total_bytes


@attrs.frozen(kw_only=True)
class DiskUse:
    """The file system that holds the databases; `free_bytes` is what this process may still write."""

    total_bytes: int
    used_bytes: int
    free_bytes: int
    mount_point: str

    @property
    def percent(self) -> float:
        """As `df` counts: what is reserved for root belongs to neither side."""
        reachable = self.used_bytes + self.free_bytes
        return 100 * self.used_bytes / reachable if reachable else 100.0


@attrs.frozen(kw_only=True)
class SystemSample:
    """`cpu_percent` is of all CPUs together, since the sample before; `rss` and `vms` are this process's alone."""

    cpu_percent: float
    cpu_count: int
    memory: MemoryUse
    disk: DiskUse
    rss_bytes: int
    vms_bytes: int


@attrs.define(eq=False)
class System:
    """Owns the last sample. Only `open_system` makes one."""

    base_path: Path
    mount_point: str
    _last: SystemSample
    _cpu: tuple[float, float]

    def statistics(self) -> SystemSample:
        return self._last

    async def run_sampling(self, interval: float) -> None:
        """A new sample every `interval` seconds. The disk is asked in a thread: a network file system may hang."""
        limiter = trio.CapacityLimiter(1)
        while True:
            await trio.sleep(interval)
            try:
                disk = await trio.to_thread.run_sync(read_disk, self.base_path, self.mount_point, limiter=limiter)
                before, self._cpu = self._cpu, read_cpu()
                self._last = take_sample(cpu_percent=busy_percent(before, self._cpu), disk=disk)
            except OSError as error:
                # Clients may hold all descriptors for a while; an old sample is better than no node.
                log.warning("sample_failed", error=str(error))


@asynccontextmanager
async def open_system(base_path: Path, *, interval: float = 1.0) -> AsyncIterator[System]:
    """Samples until the block is left. `base_path` exists."""
    mount_point = await trio.to_thread.run_sync(find_mount_point, base_path)
    disk = await trio.to_thread.run_sync(read_disk, base_path, mount_point)
    system = System(base_path, mount_point, take_sample(cpu_percent=0.0, disk=disk), read_cpu())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(system.run_sampling, interval, name="system samples")
        yield system
        nursery.cancel_scope.cancel()


def take_sample(*, cpu_percent: float, disk: DiskUse) -> SystemSample:
    process = psutil.Process().memory_info()
    return SystemSample(
        cpu_percent=cpu_percent,
        cpu_count=psutil.cpu_count() or 1,
        memory=read_memory(),
        disk=disk,
        rss_bytes=process.rss,
        vms_bytes=process.vms,
    )


def read_memory(root: Path = ROOT) -> MemoryUse:
    """Page cache counts as available: the kernel takes it back before it kills anybody."""
    machine = psutil.virtual_memory()
    limit = cgroup_memory_limit(root)
    if limit is None or limit >= machine.total:
        return MemoryUse(total_bytes=machine.total, available_bytes=machine.available)
    available = min(limit - cgroup_used(root), machine.available)
    return MemoryUse(total_bytes=limit, available_bytes=max(0, available))


def cgroup_used(root: Path = ROOT) -> int:
    """Bytes that the limiting control group uses, without the page cache that it would give back first."""
    for folder, version in memory_cgroups(root):
        limit = read_text(folder / ("memory.max" if version == 2 else "memory.limit_in_bytes"))
        if not limit.isdigit() or int(limit) != cgroup_memory_limit(root):
            continue
        used = int(read_text(folder / ("memory.current" if version == 2 else "memory.usage_in_bytes")) or 0)
        counters = dict(line.split() for line in read_text(folder / "memory.stat").splitlines())
        cache = int(counters.get("inactive_file" if version == 2 else "total_inactive_file", 0))
        return max(0, used - cache)
    return 0


def read_disk(path: Path, mount_point: str) -> DiskUse:
    usage = psutil.disk_usage(str(path))
    return DiskUse(total_bytes=usage.total, used_bytes=usage.used, free_bytes=usage.free, mount_point=mount_point)


def find_mount_point(path: Path) -> str:
    """The folder where the file system of `path` begins."""
    folder = path.resolve()
    while not folder.is_mount():
        folder = folder.parent
    return str(folder)


def read_cpu() -> tuple[float, float]:
    return busy_and_total(psutil.cpu_times()._asdict())


def busy_and_total(times: Mapping[str, float]) -> tuple[float, float]:
    """Seconds that all CPUs together have been busy, and have passed, from the kernel's counters since the start."""
    # guest times are part of user and nice already.
    total = sum(seconds for name, seconds in times.items() if name not in ("guest", "guest_nice"))
    return total - times["idle"] - times["iowait"], total


def busy_percent(before: tuple[float, float], after: tuple[float, float]) -> float:
    passed = after[1] - before[1]
    return min(100.0, max(0.0, 100 * (after[0] - before[0]) / passed)) if passed > 0 else 0.0
