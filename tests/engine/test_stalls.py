"""Results that nobody takes: what they may hold, for how long, and what becomes of the others meanwhile."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from pathlib import Path

import pytest
import trio

from kuzu_node.engine.answer import Answer
from kuzu_node.engine.database import Database
from kuzu_node.engine.deliveries import STALLED_SECONDS
from kuzu_node.engine.values import Form, Query
from kuzu_node.errors import Unavailable
from tests.engine.nodes import LONG, NOTHING, ask, create, held, opened, whole, worker_of

pytestmark = pytest.mark.trio


async def stall(
    database: Database, codes: list[str], *, rows: int = 300_000, task_status: trio.TaskStatus[None]
) -> None:
    """A client that takes one piece and then nothing; when it comes back it finds out what happened."""
    query = Query(cypher=LONG.format(rows), form=Form.NDJSON)
    async with database.query(query) as answer, answer.delivery() as pieces:
        await pieces.__anext__()
        task_status.started()
        while held(database).deliveries and not codes:
            with trio.move_on_after(0.05):
                await trio.sleep_forever()
        try:
            async for _ in pieces:
                pass
        except Unavailable as error:
            codes.append(error.code)


async def test_a_reader_that_stalls_holds_no_slot_lock_or_gate_and_is_cut_after_the_stall_time(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_STREAM_STALL_TIMEOUT="1", KUZU_MAX_CONNECTIONS_PER_DB="1") as node:
        database, codes = await create(node), list[str]()
        async with trio.open_nursery() as nursery:
            await nursery.start(stall, database, codes)
            started = trio.current_time()
            now = held(database)
            assert (now.slots, now.inside, now.writer, now.deliveries) == (0, 0, False, 1)
            # Neither readers nor writers nor a checkpoint wait for it.
            assert await ask(database, "RETURN 1 AS one") == [{"one": 1}]
            await ask(database, "CREATE (:P {id: 1})")
            await database.checkpoints.run(worker_of(database))
        assert codes == ["pool_exhausted"]
        assert trio.current_time() - started < 5
        assert held(database) == NOTHING


async def test_many_stalled_readers_do_not_keep_short_queries_from_answering(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_STREAM_STALL_TIMEOUT="30", KUZU_QUEUE_TIMEOUT="20") as node:
        database = await create(node)
        async with trio.open_nursery() as nursery:
            stalled: list[list[str]] = []
            for _ in range(3 * 3 + 4):
                stalled.append([])
                await nursery.start(partial(stall, database, stalled[-1], rows=40_000))
                started = trio.current_time()
                assert await ask(database, "RETURN 1 AS one") == [{"one": 1}]
                assert trio.current_time() - started < 2 * STALLED_SECONDS
            cut = 3 * 3 + 4 - held(database).deliveries
            nursery.cancel_scope.cancel()
        # Where room is short, those that stand still longest give it up.
        assert cut == 4
        assert held(database) == NOTHING
        assert await ask(database, "RETURN 1 AS one") == [{"one": 1}]


async def test_what_results_hold_in_the_engine_is_bounded(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_UNDELIVERED_MB="10", KUZU_STREAM_STALL_TIMEOUT="30") as node:
        database = await create(node)
        async with trio.open_nursery() as nursery:
            codes = [list[str](), list[str]()]
            await nursery.start(stall, database, codes[0])
            started = trio.current_time()
            # 300 000 rows of three values are counted as 14 MB: there is no room for both.
            await nursery.start(stall, database, codes[1])
            assert trio.current_time() - started > 0.5 * STALLED_SECONDS
            assert held(database).deliveries == 1
            nursery.cancel_scope.cancel()


async def test_a_slow_reader_gets_every_row(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_STREAM_STALL_TIMEOUT="1") as node:
        database, body = await create(node), bytearray()
        query = Query(cypher=LONG.format(60_000), form=Form.JSONL)
        async with database.query(query) as answer, answer.delivery() as pieces:
            async for piece in pieces:
                body += piece.body
                with trio.move_on_after(0.02):
                    await trio.sleep_forever()
        rows = body.splitlines()
        assert len(rows) == 60_000
        assert json.loads(rows[-1]) == {"x": 60_000, "y": 120_000, "z": "abcdefgh"}


async def test_readers_of_a_worker_that_dies_are_told(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_STREAM_STALL_TIMEOUT="30") as node:
        database, codes = await create(node), list[str]()
        gone = trio.Event()

        async def reader(*, task_status: trio.TaskStatus[None]) -> None:
            query = Query(cypher=LONG.format(150_000), form=Form.NDJSON)
            async with database.query(query) as answer, answer.delivery() as pieces:
                await pieces.__anext__()
                task_status.started()
                # What is in the sockets and channels stays there until the process and its sockets are gone.
                await gone.wait()
                with pytest.raises(Unavailable) as caught:
                    async for _ in pieces:
                        pass
            codes.append(caught.value.code)
            assert caught.value.committed is False
            assert query.committed is False

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                await nursery.start(reader)
            process = worker_of(database).process
            os.kill(process.pid, signal.SIGKILL)
            await process.reap()
            assert await ask(database, "RETURN 1 AS one") == [{"one": 1}]
            gone.set()
        assert codes == ["database_restarting"] * 3
        assert held(database) == NOTHING


async def test_a_result_that_nobody_reads_is_dropped_and_its_lane_used_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        for _ in range(10):
            query = Query(cypher=LONG.format(200_000), form=Form.NDJSON)
            async with database.query(query) as answer:
                assert answer.row_count == 200_000
            assert held(database) == NOTHING
        assert worker_of(database).lanes.lent == 0
        assert database.info().restarts == 0


async def test_the_lane_is_back_when_the_last_piece_waits_for_its_reader(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        query = Query(cypher=LONG.format(4000), form=Form.NDJSON)
        async with database.query(query) as answer, answer.delivery() as pieces:
            first = await pieces.__anext__()
            while held(database).users:
                await trio.lowlevel.checkpoint()
            rest = [piece async for piece in pieces]
        assert sum(piece.rows for piece in (first, *rest)) == 4000


async def test_a_write_with_a_long_result_lets_the_next_writer_in(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_UNDELIVERED_MB="1", KUZU_STREAM_STALL_TIMEOUT="30") as node:
        database, codes = await create(node), list[str]()
        async with trio.open_nursery() as nursery:
            await nursery.start(stall, database, codes)
            query = Query(cypher=f"CREATE (:P {{id: 5}}) WITH 1 AS one {LONG.format(50_000)}", form=Form.NDJSON)

            async def writer() -> None:
                async with database.query(query) as answer:
                    assert await whole(answer)

            nursery.start_soon(writer)
            while not held(database).slots:
                await trio.lowlevel.checkpoint()
            while held(database).writer:
                await trio.lowlevel.checkpoint()
            # It waits for room among the results, with its slot and without the lock.
            assert held(database).slots == 1
            await ask(database, "CREATE (:P {id: 6})")
        assert query.committed is True
        assert codes == ["pool_exhausted"]


async def test_an_answer_of_one_frame_needs_no_delivery(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        async with database.query(Query(cypher="RETURN 1 AS one")) as answer:
            assert isinstance(answer, Answer)
            assert answer.body is not None
            assert held(database) == NOTHING
