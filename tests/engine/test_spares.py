"""Worker processes: started ahead, confined to what is theirs, gone with the node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import trio

from kuzu_node.engine import spares as spares_module
from kuzu_node.engine.process import WorkerDied, WorkerProcess, open_process
from kuzu_node.engine.spares import open_spares
from kuzu_node.engine.values import DatabaseSpec
from tests.engine.nodes import PERSON, ask, create, opened, worker_of

pytestmark = pytest.mark.trio

ROOT = Path(__file__).parents[2]


def children() -> list[psutil.Process]:
    """The workers of this process that have not ended."""
    found = []
    for one in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # also of what has ended and was not waited for yet
            if "kuzu_node.worker" in " ".join(one.cmdline()):
                found.append(one)
    return found


def descriptors(pid: int) -> list[str]:
    """What the process has open, from outside."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            continue
    return found


async def test_a_spare_has_exactly_its_environment_and_only_its_own_descriptors(tmp_path: Path) -> None:
    async with open_process("auto", tmp_path) as first, open_process("auto", tmp_path) as second:
        for process in (first, second):
            environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            assert sorted(filter(None, environment)) == [
                b"ARROW_DEFAULT_MEMORY_POOL=system",
                b"MALLOC_ARENA_MAX=2",
                b"POLARS_MAX_THREADS=1",
            ]
            opened_sockets = [one for one in descriptors(process.pid) if one.startswith("socket:")]
            assert len(opened_sockets) == 1
        shared = set(descriptors(first.pid)) & set(descriptors(second.pid))
        assert not [one for one in shared if one.startswith("socket:")]


async def test_a_spare_that_dies_idle_is_replaced_before_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spares_module, "_FIRST_PAUSE", 0.01)
    with trio.fail_after(30):
        async with open_spares("auto", tmp_path) as spares:
            (first,) = children()
            ended = os.pidfd_open(first.pid)
            first.kill()
            await trio.lowlevel.wait_readable(ended)
            os.close(ended)
            async with spares.worker() as process:
                assert process.alive
                assert process.pid != first.pid
            assert not process.alive


async def test_a_node_whose_workers_do_not_start_says_so_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with trio.fail_after(30):
        with pytest.RaisesGroup(pytest.RaisesExc(WorkerDied, match="exit status 1")):
            async with open_spares("auto", tmp_path):
                raise AssertionError("there is no worker")
    assert children() == []


async def test_later_spares_that_do_not_start_are_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spares_module, "_FIRST_PAUSE", 0.01)
    with trio.fail_after(30):
        async with open_spares("auto", tmp_path) as spares:
            with monkeypatch.context() as broken:
                broken.setattr(sys, "executable", "/bin/false")
                async with spares.worker():
                    with trio.move_on_after(0.3):
                        async with spares.worker():
                            raise AssertionError("it cannot have started")
            async with spares.worker() as process:
                assert process.alive


async def test_a_burst_is_met_by_several_at_once_and_leaves_one_spare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(3))
    most = 0
    with trio.fail_after(60):
        async with open_spares("auto", tmp_path) as spares:
            all_have_one = trio.Event()
            held: list[WorkerProcess] = []

            async def borrow() -> None:
                nonlocal most
                async with spares.worker() as process:
                    held.append(process)
                    most = max(most, len(children()) - len(held))
                    if len(held) == 6:
                        all_have_one.set()
                    await all_have_one.wait()
                    assert process.alive

            async with trio.open_nursery() as nursery:
                for _ in range(6):
                    nursery.start_soon(borrow)
            while len(children()) != 1:
                await trio.lowlevel.checkpoint()
    assert most >= 2
    assert len({process.pid for process in held}) == 6


async def test_every_worker_is_forked_by_the_thread_that_lives_as_long_as_the_node(tmp_path: Path) -> None:
    """The parent-death signal follows the forking thread: one of a pool ends after 10 s and would take it along."""
    threads: list[int] = []

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, *arguments: object, **options: object) -> None:
            threads.append(threading.get_native_id())
            super().__init__(*arguments, **options)  # type: ignore[call-overload]  # as given

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", Recorded)
        async with opened(tmp_path, KUZU_SPARE_WORKER="true") as node:
            await create(node)
    assert len(threads) >= 2
    assert set(threads) == {threading.get_native_id()}


NODE = """
import sys, trio
from contextlib import suppress
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.engine.nodes import create, opened, ask, worker_of

async def main():
    async with opened(Path({base!r})) as node:
        database = await create(node)
        await ask(database, "CREATE (:P {{id: 1}})")
        print(worker_of(database).process.pid, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


async def test_workers_end_with_a_node_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", NODE.format(root=str(ROOT), base=str(tmp_path))]
    with trio.fail_after(60), subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as node:  # noqa: ASYNC220  a moment
        assert node.stdout is not None
        while True:
            line = await trio.to_thread.run_sync(node.stdout.readline)
            if line.strip().isdigit() or not line:
                break
        workers = psutil.Process(node.pid).children()
        assert int(line) in {one.pid for one in workers}
        node.send_signal(signal.SIGKILL)
        gone, alive = await trio.to_thread.run_sync(lambda: psutil.wait_procs(workers, timeout=10))
    assert (len(gone), alive) == (len(workers), [])
    async with opened(tmp_path, KUZU_SPARE_WORKER="true") as node_again:
        assert await ask(node_again.databases.get("g"), "MATCH (p:P) RETURN count(*) AS n") == [{"n": 1}]


async def test_nothing_leaks_over_many_openings(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_MAX_MEMORY_MB="256", KUZU_SPARE_WORKER="true") as node:
        spec = DatabaseSpec(graph_id="a", schema_type="custom", ddl=(PERSON,))
        databases = [await node.databases.create(spec), await create(node, "b")]
        before: tuple[int, int] | None = None
        # There is room for one: each query closes the other database.
        for turn in range(6):
            assert await ask(databases[turn % 2], "RETURN 1 AS one") == [{"one": 1}]
            await wait_one_spare(node_children=2)
            now = (len(os.listdir("/proc/self/fd")), len(children()))
            before = before or now
            assert now == before
        own = worker_of(databases[1]).process
        assert len([one for one in descriptors(own.pid) if one.startswith("socket:")]) == 2
    assert children() == []
    assert not [one for one in psutil.Process().children() if one.status() == psutil.STATUS_ZOMBIE]


async def wait_one_spare(node_children: int) -> None:
    """The keeper has started the next spare; that is known by the process table alone."""
    while len([one for one in children() if one.is_running()]) != node_children or not all(
        len(descriptors(one.pid)) > 4 for one in children()
    ):
        await trio.lowlevel.checkpoint()


async def test_closing_a_worker_twice_or_when_it_is_dead_is_fine(tmp_path: Path) -> None:
    async with open_process("auto", tmp_path) as process:
        assert isinstance(process, WorkerProcess)
        process.kill()
        assert await process.reap() == -signal.SIGKILL
        await process.close()
    assert not process.alive


async def test_a_worker_that_does_not_answer_is_killed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kuzu_node.engine.process.CLOSE_SECONDS", 0.2)
    with trio.fail_after(20):
        async with open_process("auto", tmp_path) as process:
            os.kill(process.pid, signal.SIGSTOP)
    assert process.popen.returncode == -signal.SIGKILL


async def test_a_node_told_to_keep_no_spare_starts_each_worker_when_it_is_needed(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_SPARE_WORKER="false") as node:
        first = await create(node, "first")
        second = await create(node, "second")
        # What helpers have started for nobody ends by itself.
        while len(children()) > 2:
            await trio.lowlevel.checkpoint()
        found = {one.pid for one in children()}
        assert found == {worker_of(first).process.pid, worker_of(second).process.pid}
