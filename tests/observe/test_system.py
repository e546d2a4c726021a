from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import trio

from kuzu_node.observe import system
from kuzu_node.observe.system import DiskUse, MemoryUse, System, open_system

pytestmark = pytest.mark.trio


async def test_the_first_sample_is_there_when_the_block_is_entered(tmp_path: Path) -> None:
    with trio.fail_after(5):
        async with open_system(tmp_path) as watched:
            sample = watched.statistics()
    assert 0 < sample.memory.used_bytes < sample.memory.total_bytes
    assert 0 < sample.rss_bytes < sample.vms_bytes
    assert sample.cpu_count >= 1
    assert sample.disk.total_bytes == psutil.disk_usage(str(tmp_path)).total
    assert Path(sample.disk.mount_point).is_mount()


async def test_samples_go_on_until_the_block_is_left(tmp_path: Path) -> None:
    with trio.fail_after(5):
        async with open_system(tmp_path, interval=0.01) as watched:
            first = watched.statistics()
            await wait_another(watched, first)


async def wait_another(watched: System, first: system.SystemSample) -> None:
    while watched.statistics() is first:
        await trio.lowlevel.checkpoint()


async def test_a_memory_limit_of_the_group_counts_and_its_page_cache_does_not(tmp_path: Path) -> None:
    mib = 1 << 20
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    (group / "memory.max").write_text(f"{64 * mib}\n")
    (group / "memory.current").write_text(f"{40 * mib}\n")
    (group / "memory.stat").write_text(f"anon {30 * mib}\ninactive_file {8 * mib}\n")
    memory = system.read_memory(tmp_path)
    assert memory == MemoryUse(total_bytes=64 * mib, available_bytes=32 * mib)
    assert memory.percent == 50


async def test_without_a_limit_the_machines_memory_counts(tmp_path: Path) -> None:
    assert system.read_memory(tmp_path).total_bytes == psutil.virtual_memory().total


async def test_cpu_is_the_busy_share_of_the_time_between_two_readings() -> None:
    assert system.busy_percent((10.0, 100.0), (15.0, 110.0)) == 50
    assert system.busy_percent((10.0, 100.0), (10.0, 100.0)) == 0


async def test_waiting_is_not_busy_and_guests_are_not_counted_twice() -> None:
    times = {"user": 5.0, "system": 3.0, "idle": 80.0, "iowait": 12.0, "guest": 4.0, "guest_nice": 1.0}
    assert system.busy_and_total(times) == (8.0, 100.0)


async def test_a_disk_is_as_full_as_its_users_see_it() -> None:
    disk = DiskUse(total_bytes=100, used_bytes=60, free_bytes=30, mount_point="/")
    assert disk.percent == pytest.approx(66.7, abs=0.1)
