from __future__ import annotations

from pathlib import Path

from kuzu_node.config.machine import Machine, cgroup_memory_limit


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")


def test_the_tightest_group_of_version_2_counts(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pod/container",
            "sys/fs/cgroup/pod/container/memory.max": "max",
            "sys/fs/cgroup/pod/memory.max": "1000",
            "sys/fs/cgroup/memory.max": "2000",
        },
    )
    assert cgroup_memory_limit(tmp_path) == 1000


def test_a_container_that_does_not_see_its_path_reads_its_own_top(tmp_path: Path) -> None:
    write(tmp_path, {"proc/self/cgroup": "0::/docker/abc", "sys/fs/cgroup/memory.max": "3000"})
    assert cgroup_memory_limit(tmp_path) == 3000


def test_version_1_has_a_number_for_no_limit(tmp_path: Path) -> None:
    limit = "sys/fs/cgroup/memory/app/memory.limit_in_bytes"
    write(tmp_path, {"proc/self/cgroup": "5:cpu:/\n4:memory,x:/app\n0::/", limit: "9223372036854771712"})
    assert cgroup_memory_limit(tmp_path) is None
    write(tmp_path, {limit: "4096"})
    assert cgroup_memory_limit(tmp_path) == 4096


def test_a_system_without_groups_has_no_limit(tmp_path: Path) -> None:
    assert cgroup_memory_limit(tmp_path) is None


def test_this_machine_has_memory_and_a_name() -> None:
    machine = Machine.from_here()
    assert machine.memory_mb > 256
    assert machine.host_name
