"""Checkpoints beside readers and writers, when they are due, and a database whose checkpoint crashes."""

from __future__ import annotations

import errno
import os
from functools import partial
from pathlib import Path

import pytest
import trio

from kuzu_node.engine import files
from kuzu_node.engine.database import Database
from kuzu_node.engine.gate import HOLD_BACK
from kuzu_node.engine.process import WorkerDied
from kuzu_node.engine.values import State
from kuzu_node.errors import NodeError
from kuzu_node.node import open_node
from tests.durability import kinds
from tests.durability.driving import checkpoint, config, create, run, value, worker_of
from tests.durability.striking import COPIED, MARKED, arm, killing_worker

pytestmark = pytest.mark.trio
LONG_READ = "UNWIND range(1, 40000) AS x UNWIND range(1, 40000) AS y WITH x + y AS z WHERE z = 3 RETURN count(z)"


async def read_until_cancelled(database: Database, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
    with trio.CancelScope() as scope:
        task_status.started(scope)
        await run(database, LONG_READ)


async def test_checkpoint_lets_readers_through_and_gets_its_way_behind_the_long_one(tmp_path: Path) -> None:
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "beside", *kinds.SCHEMA)
        await kinds.fill(database)
        async with trio.open_nursery() as nursery:
            reader = await nursery.start(read_until_cancelled, database)
            while not database.floor.locks.gate.inside:
                await trio.lowlevel.checkpoint()
            nursery.start_soon(database.checkpoints.run_due, worker_of(database))
            while not database.floor.locks.gate.closed:
                await trio.lowlevel.checkpoint()
            started = trio.current_time()
            await run(database, "CREATE (:After {id: 1})")
            await run(database, "RETURN 1")
            assert trio.current_time() - started < HOLD_BACK + 2
            assert database.checkpoints.last_ms is None or database.folder.log.exists()
            reader.cancel()
        assert not database.folder.log.exists()
        assert not database.folder.marker.exists()


async def test_checkpoint_comes_by_itself_when_the_log_has_grown(tmp_path: Path) -> None:
    async with open_node(config(tmp_path, KUZU_CHECKPOINT_WAL_MB="1")) as node:
        database = await create(node, "grown", *kinds.SCHEMA)
        text = "x" * 4000
        with trio.fail_after(20):
            while database.checkpoints.last_ms is None:
                rows = await value(database, "MATCH (p:P) RETURN count(*)")
                await run(database, f"UNWIND range({rows + 1}, {rows + 50}) AS x CREATE (:P {{id: x, s: '{text}'}})")
        assert database.checkpoints.log_bytes() < 2 * 1024 * 1024


async def test_checkpoint_that_crashes_twice_leaves_the_database_read_only_until_it_is_reopened(tmp_path: Path) -> None:
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "crashing", *kinds.SCHEMA)
        await kinds.fill(database)
        for _ in range(2):
            await run(database, "RETURN 1")
            arm(database, MARKED, killing_worker(database, MARKED))
            with pytest.raises(WorkerDied):
                await checkpoint(database)
        assert await value(database, "MATCH (p:P) RETURN count(*)") == kinds.ROWS
        assert database.info().state is State.DEGRADED
        with pytest.raises(NodeError) as caught:
            await run(database, "CREATE (:After {id: 1})")
        assert (caught.value.code, caught.value.committed) == ("read_only", False)
        await database.reopen()
        assert database.info().state is State.READY
        await run(database, "CREATE (:After {id: 1})")
        await checkpoint(database)


async def test_full_disk_at_setting_aside_refuses_the_statement_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.copy

    def no_room_for(name: str, source: Path, target: Path) -> bool:
        if source.name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(source, target)

    async with open_node(config(tmp_path)) as node:
        database = await create(node, "full", *kinds.SCHEMA)
        await kinds.fill(database)
        for name in ("graph.kuzu", "graph.kuzu.wal"):
            with monkeypatch.context() as patch:
                patch.setattr(files, "copy", partial(no_room_for, name))
                with pytest.raises(NodeError) as caught:
                    await run(database, "COPY P(id, s) FROM (UNWIND range(1000, 1100) AS x RETURN x, 's')")
                assert (caught.value.code, caught.value.committed) == ("disk_full", False)
            assert list(database.folder.aside.iterdir()) == []
            await run(database, "RETURN 1")
            assert await value(database, "MATCH (p:P) RETURN count(*)") == kinds.ROWS
        await run(database, "COPY P(id, s) FROM (UNWIND range(1000, 1100) AS x RETURN x, 's')")
        await kinds.look_up(database, "P", "P")


async def test_worker_that_is_replaced_while_its_files_are_copied_is_never_marked(tmp_path: Path) -> None:
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "replaced", *kinds.SCHEMA)
        await kinds.fill(database)
        stale = worker_of(database)
        arm(database, COPIED, killing_worker(database, COPIED))
        with pytest.raises(WorkerDied):
            await database.checkpoints.run(stale)
        await run(database, "CREATE (:After {id: 1})")
        assert worker_of(database) is not stale
        assert not database.folder.marker.exists()
