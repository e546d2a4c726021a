"""After a failed bulk statement the next worker writes, while the one before ends what its readers have begun."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
import trio

from kuzu_node.engine import farewell
from kuzu_node.engine.answer import Pieces
from kuzu_node.engine.database import Database
from kuzu_node.engine.supervisor import CHECKPOINT_CRASHES
from kuzu_node.engine.values import Form, Query, State
from kuzu_node.engine.worker import Worker
from kuzu_node.errors import NodeError
from kuzu_node.node import Node
from tests.engine.nodes import LONG, NOTHING, ask, create, failure, held, opened, reach, until_changed, worker_of

pytestmark = pytest.mark.trio

COPY_TWICE = "COPY P FROM (UNWIND [1, 1] AS x RETURN x, 'a')"
ROWS = 300_000
# Seconds of work that an interrupt can stop.
LONG_SUM = (
    "UNWIND range(1, 140) AS a UNWIND range(1, 1000) AS b UNWIND range(1, 1000) AS c RETURN sum((a + b * c) % 7) AS n"
)
PATIENT = {"KUZU_STREAM_STALL_TIMEOUT": "60", "KUZU_QUEUE_TIMEOUT": "20"}


@asynccontextmanager
async def stream(database: Database) -> AsyncIterator[Pieces]:
    """A result that nobody has read yet: it needs its worker until it is drained."""
    async with database.query(Query(cypher=LONG.format(ROWS), form=Form.NDJSON)) as answer, answer.delivery() as pieces:
        yield pieces


async def drained(pieces: Pieces) -> int:
    """Rows."""
    return sum([piece.rows async for piece in pieces])


async def taint(database: Database) -> Worker:
    """The worker in which a bulk statement has failed now."""
    worker = worker_of(database)
    assert (await failure(database, COPY_TWICE)).code == "constraint"
    assert worker.tainted
    return worker


async def ended(worker: Worker) -> None:
    with trio.fail_after(10):
        await worker.process.reap()


async def test_a_long_statement_and_an_unread_result_outlive_the_swap(tmp_path: Path) -> None:
    async with opened(tmp_path, **PATIENT) as node, trio.open_nursery() as nursery:
        database = await create(node)
        counted: list[object] = []

        async def count() -> None:
            counted.extend(await ask(database, LONG_SUM))

        async with stream(database) as pieces:
            nursery.start_soon(count)
            worker = worker_of(database)
            while not worker.executing:
                await trio.lowlevel.checkpoint()
            await taint(database)
            assert worker.users == 2
            # It has no part in what follows: not even in being let go.
            os.kill(worker.process.pid, signal.SIGSTOP)
            await ask(database, "CREATE (:P {id: 7})")
            assert worker_of(database) is not worker
            assert database.floor.presence.seen_off == [worker]
            await database.checkpoints.run(worker_of(database))
            assert len(worker.executing) == 1
            assert await ask(database, "MATCH (p:P) RETURN p.id AS id") == [{"id": 7}]
            os.kill(worker.process.pid, signal.SIGCONT)
            assert await drained(pieces) == ROWS
            while not counted:
                await trio.lowlevel.checkpoint()
        assert counted == [{"n": "420000000"}]
        await ended(worker)
        await database.supervisor.farewells.wait_over()
        assert held(database) == NOTHING
        assert database.info().restarts == 0


async def test_readers_do_not_wait_while_the_next_worker_opens(tmp_path: Path) -> None:
    async with opened(tmp_path, **PATIENT, KUZU_SPARE_WORKER="true") as node, trio.open_nursery() as nursery:
        database = await create(node)
        async with stream(database) as pieces:
            worker = await taint(database)
            stopped = [one for one in psutil.Process().children() if one.pid != worker.process.pid]
            for spare in stopped:
                spare.suspend()
            nursery.start_soon(ask, database, "CREATE (:P {id: 7})")
            await until_changed(database, lambda: database.floor.presence.handing_over)
            for _ in range(3):
                assert await ask(database, "MATCH (p:P) RETURN count(*) AS n") == [{"n": 0}]
            assert worker_of(database) is worker
            for spare in stopped:
                spare.resume()
            await until_changed(database, lambda: worker_of(database) is not worker)
            assert database.floor.presence.state is State.READY
            assert await drained(pieces) == ROWS


async def test_the_next_worker_checkpoints_and_loads_beside_old_readers(tmp_path: Path) -> None:
    async with opened(tmp_path, **PATIENT) as node:
        database = await create(node)
        await ask(database, "CREATE (:P {id: 1})")
        async with stream(database) as pieces:
            worker = await taint(database)
            await ask(database, "CREATE (:P {id: 2})")
            fresh = worker_of(database)
            await database.checkpoints.run(fresh)
            await ask(database, "COPY P FROM (UNWIND range(10, 5000) AS x RETURN x, 'a')")
            assert database.floor.presence.seen_off == [worker]
            assert worker_of(database) is fresh
            assert await drained(pieces) == ROWS
        await ended(worker)
        assert await ask(database, "MATCH (p:P) RETURN count(*) AS n") == [{"n": 4993}]
        assert held(database) == NOTHING


async def test_the_death_of_a_worker_that_is_seen_off_is_felt_by_its_readers_alone(tmp_path: Path) -> None:
    async with opened(tmp_path, **PATIENT) as node:
        database = await create(node)
        async with stream(database) as old_pieces:
            worker = await taint(database)
            await ask(database, "CREATE (:P {id: 7})")
            fresh = worker_of(database)
            async with stream(database) as pieces:
                os.kill(worker.process.pid, signal.SIGKILL)
                with pytest.raises(NodeError) as caught:
                    await drained(old_pieces)
                assert caught.value.code == "database_restarting"
                assert await drained(pieces) == ROWS
        assert worker_of(database) is fresh
        assert database.info().restarts == 0
        assert database.info().last_error is None
        await database.supervisor.farewells.wait_over()
        assert held(database) == NOTHING


async def test_readers_outlive_the_death_of_the_next_worker_too(tmp_path: Path) -> None:
    async with opened(tmp_path, **PATIENT) as node:
        database = await create(node)
        async with stream(database) as pieces:
            worker = await taint(database)
            await ask(database, "CREATE (:P {id: 7})")
            fresh = worker_of(database)
            fresh.process.kill()
            await ended(fresh)
            assert await ask(database, "MATCH (p:P) RETURN p.id AS id") == [{"id": 7}]
            assert worker_of(database) is not fresh
            assert database.info().restarts == 1
            assert database.floor.presence.seen_off == [worker]
            assert await drained(pieces) == ROWS


async def test_several_are_seen_off_and_beyond_that_readers_are_cut(tmp_path: Path) -> None:
    async with opened(tmp_path, **PATIENT, KUZU_UNDELIVERED_MB="512") as node:
        database = await create(node)
        async with stream(database) as first, stream(database) as second:
            workers = [await taint(database)]
            await ask(database, "CREATE (:P {id: 7})")
            async with stream(database) as third:
                workers.append(await taint(database))
                await ask(database, "CREATE (:P {id: 8})")
                assert database.floor.presence.seen_off == workers
                async with stream(database) as fourth:
                    cut = await taint(database)
                    await ask(database, "CREATE (:P {id: 9})")
                    assert cut is not worker_of(database)
                    with pytest.raises(NodeError):
                        await drained(fourth)
                assert database.floor.presence.seen_off == workers
                assert await drained(third) == ROWS
            await ended(workers[1])
            assert [await drained(first), await drained(second)] == [ROWS, ROWS]
        await ended(workers[0])
        assert await ask(database, "MATCH (p:P) RETURN count(*) AS n") == [{"n": 3}]


async def test_a_file_too_large_to_copy_costs_long_readers_their_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(farewell, "MOST_COPIED", 0)
    async with opened(tmp_path, **PATIENT) as node:
        database = await create(node)
        database.checkpoints.reflink = False
        await costs_the_result(database)


async def test_a_worker_with_much_memory_is_not_kept_on_a_node_without_room_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(farewell, "MOST_OF_POOL", 0)
    async with opened(tmp_path, **PATIENT, KUZU_MAX_MEMORY_MB="256") as node:
        await costs_the_result(await create(node))


async def costs_the_result(database: Database) -> None:
    """As long readers are served where the worker before cannot be kept for them."""
    async with stream(database) as pieces:
        worker = await taint(database)
        await ask(database, "CREATE (:P {id: 7})")
        await ended(worker)
        assert not database.floor.presence.seen_off
        with pytest.raises(NodeError):
            await drained(pieces)
    assert await ask(database, "MATCH (p:P) RETURN p.id AS id") == [{"id": 7}]


async def test_a_worker_that_is_seen_off_holds_a_place_where_there_is_one(tmp_path: Path) -> None:
    async with opened(tmp_path, **PATIENT, KUZU_MAX_MEMORY_MB="512") as node:
        database = await create(node)
        async with stream(database) as pieces:
            worker = await taint(database)
            assert node.databases.openings.has_room()
            await ask(database, "CREATE (:P {id: 7})")
            assert not node.databases.openings.has_room()
            assert await drained(pieces) == ROWS
        await ended(worker)
        await database.supervisor.farewells.wait_over()
        assert node.databases.openings.has_room()


async def test_a_database_with_old_readers_is_not_idle(tmp_path: Path) -> None:
    # With a pool of which the unread result does not fill half: else its reader would be cut off.
    room_for_one = {"KUZU_MAX_MEMORY_MB": "4096", "KUZU_MEMORY_PER_DB_MB": "4096"}
    async with opened(tmp_path, **{**PATIENT, **room_for_one, "KUZU_IDLE_EVICT_SECONDS": "0.2"}) as node:
        database = await create(node)
        async with stream(database) as pieces, trio.open_nursery() as nursery:
            worker = await taint(database)
            await ask(database, "CREATE (:P {id: 7})")
            fresh = worker_of(database)
            # For want of room this one waits until the other may close.
            nursery.start_soon(create, node, "other")
            with trio.move_on_after(0.6):
                await database.floor.presence.wait_changed()
            assert worker_of(database) is fresh
            assert worker.process.alive
            assert await drained(pieces) == ROWS
        await reach(database, State.CLOSED)
        for gone in (worker, fresh):
            await ended(gone)


async def end_by_deletion(node: Node, database: Database) -> None:
    await node.databases.delete(database.graph_id)
    assert not database.folder.root.exists()


async def end_by_closing(node: Node, database: Database) -> None:
    await database.close(NodeError("the end"), patience=0.1)


@pytest.mark.parametrize("end", [end_by_deletion, end_by_closing])
async def test_what_ends_the_database_ends_those_that_are_seen_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: Callable[[Node, Database], Awaitable[None]]
) -> None:
    monkeypatch.setattr("kuzu_node.engine.catalog.DELETE_PATIENCE", 0.1)
    async with opened(tmp_path, **PATIENT) as node:
        database = await create(node)
        async with stream(database) as pieces:
            worker = await taint(database)
            await ask(database, "CREATE (:P {id: 7})")
            fresh = worker_of(database)
            await end(node, database)
            assert not worker.process.alive
            assert not fresh.process.alive
            with pytest.raises(NodeError):
                await drained(pieces)
        assert held(database) == NOTHING


async def test_an_index_statement_changes_the_worker_and_costs_no_reader(tmp_path: Path) -> None:
    async with opened(tmp_path, **PATIENT) as node:
        database = await create(node)
        await ask(database, "CREATE (:P {id: 1, s: 'word'})")
        async with stream(database) as pieces:
            worker = worker_of(database)
            await ask(database, "CALL CREATE_FTS_INDEX('P', 'text', ['s'])")
            await ask(database, "CREATE (:P {id: 2, s: 'word'})")
            assert database.floor.presence.seen_off == [worker]
            found = await ask(database, "CALL QUERY_FTS_INDEX('P', 'text', 'word') RETURN node.id AS id ORDER BY id")
            assert found == [{"id": 1}, {"id": 2}]
            assert await drained(pieces) == ROWS


async def test_reopening_a_degraded_database_costs_no_reader(tmp_path: Path) -> None:
    async with opened(tmp_path, **PATIENT) as node:
        database = await create(node)
        database.checkpoints.crashes = CHECKPOINT_CRASHES
        worker_of(database).process.kill()
        await reach(database, State.DEGRADED)
        async with stream(database) as pieces:
            worker = worker_of(database)
            await database.reopen()
            assert database.floor.presence.state is State.READY
            await ask(database, "CREATE (:P {id: 7})")
            assert database.floor.presence.seen_off == [worker]
            assert await drained(pieces) == ROWS


async def test_closing_lets_old_readers_finish_within_its_patience(tmp_path: Path) -> None:
    async with opened(tmp_path, **PATIENT) as node, trio.open_nursery() as nursery:
        database = await create(node)
        async with stream(database) as pieces:
            await taint(database)
            await ask(database, "CREATE (:P {id: 7})")

            async def close() -> None:
                await database.close(NodeError("the end"), patience=30)

            nursery.start_soon(close)
            await until_changed(database, lambda: database.floor.presence.leaving)
            assert await drained(pieces) == ROWS
        await database.supervisor.closed.wait()
        assert not database.floor.presence.seen_off


async def test_a_node_that_ends_ends_those_that_are_seen_off(tmp_path: Path) -> None:
    async with opened(tmp_path, **PATIENT) as node:
        database = await create(node)
        async with stream(database):
            worker = await taint(database)
            await ask(database, "CREATE (:P {id: 7})")
    assert not worker.process.alive
    assert not psutil.Process().children()
