"""Two workers of one database, one of which only reads: whatever dies, what was acknowledged stays."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from kuzu_node.engine import files
from kuzu_node.engine.answer import Pieces
from kuzu_node.engine.database import Database
from kuzu_node.engine.process import WorkerDied
from kuzu_node.engine.values import Form, Query
from kuzu_node.engine.worker import Worker
from kuzu_node.errors import NodeError
from kuzu_node.node import open_node
from tests.durability import kinds, striking
from tests.durability.driving import checkpoint, config, create, kill_worker, run, value, worker_of
from tests.durability.striking import IN_ENGINE, MARKED, arm, killing_worker

pytestmark = pytest.mark.trio
ROOT = Path(__file__).parents[2]
FAILING = "COPY P(id, s) FROM (UNWIND [1000, 1000] AS x RETURN x, 's')"
COPY = "COPY P(id, s) FROM (UNWIND range(2000, 9000) AS x RETURN x, 'bulk')"
# More than fits the socket and the channels.
WIDE = "MATCH (p:P), (q:P) RETURN p.id, q.id, p.s, 'as long as it takes to fill the socket between both of them' AS t"


@asynccontextmanager
async def reading(database: Database) -> AsyncIterator[Pieces]:
    """A result of the worker that is there now, which nobody has begun to read."""
    async with database.query(Query(cypher=WIDE, form=Form.NDJSON)) as answer, answer.delivery() as pieces:
        yield pieces


async def rows_of(pieces: Pieces) -> int:
    return sum([piece.rows async for piece in pieces])


async def seen_off(database: Database) -> Worker:
    """Has a bulk statement fail beside the reader, and writes."""
    worker = worker_of(database)
    with pytest.raises(NodeError):
        await run(database, FAILING)
    await run(database, "CREATE (:After {id: 2})")
    assert database.floor.presence.seen_off == [worker]
    return worker


async def sound(database: Database, after: list[int]) -> None:
    assert await run(database, "MATCH (n:After) RETURN n.id ORDER BY n.id") == [[number] for number in after]
    await kinds.look_up(database, "P", "P", every=97)
    await kinds.count_both_ways(database, "P")
    await checkpoint(database)
    assert list(database.folder.aside.iterdir()) == []


async def test_everything_the_next_worker_does_is_kept_and_the_reader_sees_none_of_it(tmp_path: Path) -> None:
    async with open_node(config(tmp_path, KUZU_STREAM_STALL_TIMEOUT="60")) as node:
        database = await create(node, "both", *kinds.SCHEMA)
        await kinds.fill(database)
        await run(database, "CREATE (:After {id: 1})")
        async with reading(database) as pieces:
            await seen_off(database)
            await run(database, COPY)
            await run(database, "MATCH (p:P) WHERE p.id <= 300 SET p.s = 'changed'")
            await checkpoint(database)
            await run(database, "MATCH (p:P) WHERE p.id > 8000 DELETE p")
            await kill_worker(database)
            await run(database, "CREATE (:After {id: 3})")
            assert await rows_of(pieces) == kinds.ROWS**2
        assert await value(database, "MATCH (p:P) RETURN count(*)") == kinds.ROWS + 6001
        await sound(database, [1, 2, 3])


@pytest.mark.parametrize("stage", [MARKED, IN_ENGINE])
async def test_next_worker_killed_in_its_checkpoint_loses_nothing_and_costs_no_reader(
    tmp_path: Path, stage: str
) -> None:
    async with open_node(config(tmp_path, KUZU_STREAM_STALL_TIMEOUT="60")) as node:
        database = await create(node, "struck", *kinds.SCHEMA)
        await kinds.fill(database)
        async with reading(database) as pieces:
            await seen_off(database)
            arm(database, stage, killing_worker(database, stage))
            with pytest.raises(WorkerDied):
                await checkpoint(database)
            await run(database, "CREATE (:After {id: 3})")
            assert await rows_of(pieces) == kinds.ROWS**2
        await sound(database, [2, 3])


async def test_no_room_for_a_second_file_costs_the_reader_but_nothing_that_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> bool:
        raise OSError(28, "No space left on device", str(target))

    async with open_node(config(tmp_path, KUZU_STREAM_STALL_TIMEOUT="60")) as node:
        database = await create(node, "full", *kinds.SCHEMA)
        await kinds.fill(database)
        await run(database, "CREATE (:After {id: 1})")
        async with reading(database) as pieces:
            with pytest.raises(NodeError):
                await run(database, FAILING)
            with monkeypatch.context() as patched:
                patched.setattr(files, "copy", full)
                await run(database, "CREATE (:After {id: 2})")
            assert not database.floor.presence.seen_off
            with pytest.raises(NodeError):
                await rows_of(pieces)
        await sound(database, [1, 2])


COPYING, COPIED, RENAMED, UNLOCKED = "copying", "copied", "renamed", "unlocked"
WRITTEN, CHECKPOINTING = "written", "checkpointing"
STEPS = (COPYING, COPIED, RENAMED, UNLOCKED, WRITTEN, CHECKPOINTING)


@pytest.mark.parametrize("step", STEPS)
async def test_node_killed_while_a_worker_is_seen_off_loses_nothing(tmp_path: Path, step: str) -> None:
    command = [sys.executable, "-m", "tests.durability.test_overlap", str(tmp_path), step]
    ended = await trio.run_process(command, cwd=ROOT, capture_stdout=True, check=False)
    assert ended.returncode == -9
    acknowledged = [int(number) for number in ended.stdout.split()]
    assert acknowledged == ([1, 2] if step in (WRITTEN, CHECKPOINTING) else [1])
    async with open_node(config(tmp_path)) as node:
        database = node.databases.get("struck")
        assert await value(database, "MATCH (p:P) RETURN count(*)") == kinds.ROWS
        await sound(database, acknowledged)


def die_at(step: str) -> None:
    """The node dies in the thread that puts the copy in the place of the file."""
    plain_copy, plain_replace = files.copy, os.replace

    def copy(source: Path, target: Path) -> bool:
        if target.name == "replacement" and step == COPYING:
            target.write_bytes(source.read_bytes()[:4096])
            os.kill(os.getpid(), signal.SIGKILL)
        shared = plain_copy(source, target)
        if target.name == "replacement" and step == COPIED:
            os.kill(os.getpid(), signal.SIGKILL)
        return shared

    def replace(source: Path, target: Path) -> None:
        plain_replace(source, target)
        if source.name == "replacement" and step == RENAMED:
            os.kill(os.getpid(), signal.SIGKILL)

    def sync_folder(path: Path) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    files.copy = copy
    os.replace = replace  # type: ignore[assignment]
    if step == UNLOCKED:
        files.sync_folder = sync_folder


async def die(base: Path, step: str) -> None:
    def acknowledged(number: int) -> None:
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()

    async with open_node(config(base, KUZU_STREAM_STALL_TIMEOUT="60")) as node:
        database = await create(node, "struck", *kinds.SCHEMA)
        await kinds.fill(database)
        await run(database, "CREATE (:After {id: 1})")
        acknowledged(1)
        async with reading(database):
            die_at(step)
            await seen_off(database)
            acknowledged(2)
            if step == CHECKPOINTING:
                arm(database, MARKED, striking.killing_node(IN_ENGINE))
                await checkpoint(database)
                await trio.sleep_forever()
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    import structlog

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    trio.run(die, Path(sys.argv[1]), sys.argv[2])
