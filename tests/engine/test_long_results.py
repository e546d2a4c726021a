"""Long results of writes that end in a checkpoint: delivered like others, and as durable as short ones."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import trio

from kuzu_node.engine.database import Database
from kuzu_node.engine.values import Form, Query, Transaction, TransactionStatement
from kuzu_node.errors import NodeError
from tests.engine.nodes import NOTHING, ask, create, force, held, opened, until_changed, worker_of

pytestmark = pytest.mark.trio

MB = 1024 * 1024
ROWS = 1_500_000
LONG_TAIL = f"WITH 1 AS one UNWIND range(1, {ROWS}) AS x RETURN x, x * 2 AS y, 'abcdefghijklmnop' AS z"
DETACH = f"MATCH (p:P {{id: 1}}) DETACH DELETE p {LONG_TAIL}"
SET = f"MATCH (p:P {{id: 1}}) SET p.s = 'new' {LONG_TAIL}"
INDEX = "CALL CREATE_FTS_INDEX('P', 'i', ['s'])"


async def make_text_index(database: Database) -> None:
    """And the worker behind it, which knows of it."""
    await ask(database, INDEX)
    await ask(database, "CREATE (:P {id: 100, s: 'a'})")
    assert worker_of(database).text_indexed


@pytest.mark.parametrize("text", [DETACH, SET])
async def test_rows_of_a_write_that_ends_in_a_checkpoint_do_not_make_the_node_grow(tmp_path: Path, text: str) -> None:
    async with opened(tmp_path, KUZU_MEMORY_PER_DB_MB="512") as node:
        database, me = await create(node), psutil.Process()
        await ask(database, "CREATE (:P {id: 1, s: 'old'})")
        if text is SET:
            await make_text_index(database)
        query, size = Query(cypher=text, form=Form.NDJSON), 0
        before = most = me.memory_info().rss
        async with database.query(query) as answer:
            assert (answer.body, answer.row_count, query.committed) == (None, ROWS, True)
            now = held(database)
            assert (now.slots, now.inside, now.writer, now.deliveries) == (0, 0, False, 1)
            assert not database.folder.marker.exists()
            async with answer.delivery() as pieces:
                async for piece in pieces:
                    size += len(piece.body)
                    most = max(most, me.memory_info().rss)
        assert size > 60 * MB
        assert most - before < 24 * MB
        assert held(database) == NOTHING


async def test_what_they_have_written_is_durable_before_the_first_row_is_read(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_STREAM_STALL_TIMEOUT="30") as node:
        database = await create(node)
        await ask(database, "CREATE (:P {id: 1, s: 'old'}), (:P {id: 2})")
        query = Query(cypher=DETACH.replace(str(ROWS), "100000"), form=Form.NDJSON)
        async with database.query(query) as answer:
            assert answer.body is None
            # Others read, write and checkpoint beside it.
            await ask(database, "CREATE (:P {id: 3})")
            await database.checkpoints.run(worker_of(database))
            worker_of(database).process.kill()
            assert await ask(database, "MATCH (p:P) RETURN p.id AS id ORDER BY id") == [{"id": 2}, {"id": 3}]
        assert held(database) == NOTHING


async def test_what_a_text_index_asks_for_is_decided_for_the_worker_that_runs_the_statement(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_QUEUE_TIMEOUT="30") as node:
        database = await create(node)
        await ask(database, "CREATE (:P {id: 1, s: 'a'})")
        before, maintenance = worker_of(database), database.floor.locks.maintenance
        async with trio.open_nursery() as nursery:
            await maintenance.acquire()
            nursery.start_soon(ask, database, "CREATE (:P {id: 5, s: 'b'}); MATCH (p:P {id: 5}) DETACH DELETE p")
            while not maintenance.statistics().tasks_waiting:
                await trio.lowlevel.checkpoint()
            # While it waits, the index comes, and with it another worker.
            await force(database, INDEX, write=True)
            before.tainted = True
            database.floor.presence.ask_to_swap()
            await until_changed(database, lambda: database.floor.presence.worker not in {None, before})
            after = worker_of(database)
            assert (before.text_indexed, after.text_indexed) == (False, True)
            database.checkpoints.last_ms = -1
            maintenance.release()
        # It has checkpointed first, and the process changes after several statements.
        assert database.checkpoints.last_ms != -1
        assert after.tainted
        assert await ask(database, "MATCH (p:P) RETURN p.id AS id") == [{"id": 1}]


async def test_a_new_table_is_known_wherever_its_statement_ran(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        text = "CREATE NODE TABLE Q(k INT32, PRIMARY KEY(k)); MATCH (p:P {id: 1}) DETACH DELETE p"
        await ask(database, text)
        assert worker_of(database).key_types["Q"] == ("k", "INT32")


@pytest.mark.parametrize("text_index", [False, True])
async def test_a_transaction_whose_answer_is_too_long_to_hold_is_rolled_back(tmp_path: Path, text_index: bool) -> None:
    async with opened(tmp_path, KUZU_MEMORY_PER_DB_MB="1024") as node:
        database, me = await create(node), psutil.Process()
        if text_index:
            await make_text_index(database)
        pid = worker_of(database).process.pid
        texts = ("MERGE (:P {id: 1})", f"UNWIND range(1, 100) AS x RETURN x, repeat('y', {MB}) AS y", "RETURN 1 AS one")
        transaction = Transaction(statements=tuple(TransactionStatement(cypher=text) for text in texts))
        before = me.memory_info().rss
        with pytest.raises(NodeError) as caught:
            await database.transaction(transaction)
        assert (caught.value.code, caught.value.committed, transaction.committed) == ("too_large", False, False)
        assert me.memory_info().rss - before < 24 * MB
        assert held(database) == NOTHING
        assert worker_of(database).process.pid == pid
        assert await ask(database, "MATCH (p:P {id: 1}) RETURN count(*) AS n") == [{"n": 0}]
        await ask(database, "CREATE (:P {id: 1})")
