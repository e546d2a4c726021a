"""Requests on their way through lanes: identified, bounded, and without anything left behind."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import trio

from kuzu_node.core.frames import MAX_PAYLOAD
from kuzu_node.core.messages import RunQuery
from kuzu_node.engine.database import Database
from kuzu_node.engine.execution import Execution
from kuzu_node.engine.lanes import LANES_PER_SLOT
from kuzu_node.engine.values import Form, Query, Transaction, TransactionStatement
from kuzu_node.errors import NodeError, RequestRefused
from tests.engine.cancelling import cancel_at
from tests.engine.nodes import ENDLESS, LONG, NOTHING, ask, create, failure, held, opened, whole, worker_of

pytestmark = pytest.mark.trio

MB = 1024 * 1024


def statement(text: str, **fields: Any) -> TransactionStatement:
    return TransactionStatement(cypher=text, **fields)


async def test_parameterised_calls_do_not_make_the_worker_grow(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_MAX_CONNECTIONS_PER_DB="1") as node:
        database = await create(node)
        await ask(database, "CREATE (:P {id: 1, s: 'x'})")

        async def calls(count: int) -> int:
            for _ in range(count):
                assert await ask(database, "MATCH (p:P) WHERE p.s = $s RETURN p.id AS id", s="x") == [{"id": 1}]
            return int(psutil.Process(worker_of(database).process.pid).memory_info().rss)

        before = await calls(500)
        after = await calls(2000)
        # Without renewed connections 36 KB a call: 72 MB.
        assert after - before < 20 * MB


async def test_lanes_are_made_on_demand_within_their_bound_and_used_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        for _ in range(3):
            async with trio.open_nursery() as nursery:
                for _ in range(9):
                    nursery.start_soon(ask, database, LONG.format(5000))
        lanes = worker_of(database).lanes
        assert lanes.lent == 0
        assert 1 < len(lanes.numbers()) <= 3 * LANES_PER_SLOT
        assert len(set(lanes.numbers())) == len(lanes.numbers())
        assert held(database) == NOTHING


async def test_request_ids_begin_again_after_the_last(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        worker = worker_of(database)
        worker._request_id = 2**32 - 3
        seen = [worker.next_request_id() for _ in range(4)]
        assert seen == [2**32 - 2, 2**32 - 1, 1, 2]
        worker._request_id = 2**32 - 2
        for _ in range(3):
            assert await ask(database, "RETURN 1 AS one") == [{"one": 1}]


async def test_an_interrupt_never_hits_the_next_request_of_its_lane(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_MAX_CONNECTIONS_PER_DB="1") as node:
        database = await create(node)
        for delay in range(25):
            with trio.move_on_after(delay / 2000):
                await ask(database, ENDLESS)
            for _ in range(2):
                assert await ask(database, "UNWIND range(1, 1000) AS i RETURN sum(i) AS s") == [{"s": "500500"}]
        assert held(database) == NOTHING
        assert len(worker_of(database).lanes.numbers()) == 1


async def test_a_query_that_is_cancelled_anywhere_leaves_nothing_taken(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        for text in ("CREATE (:P {id: $id})", LONG.format(20_000)):
            ended, step = False, 0
            while not ended:
                step += 1
                query = Query(cypher=text, parameters={"id": step} if "$id" in text else {}, form=Form.NDJSON)
                ended = await cancel_at(partial(_read, database, query), step)
                assert held(database) == NOTHING, step
                if "CREATE" in text:
                    found = await ask(database, "MATCH (p:P {id: $id}) RETURN count(*) AS n", id=step)
                    assert query.committed is bool(found[0]["n"])
        assert worker_of(database).lanes.lent == 0
        assert database.info().restarts == 0


async def _read(database: Database, query: Query) -> None:
    async with database.query(query) as answer:
        await whole(answer)


async def test_large_parameters_come_back_whole(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        text = "".join(chr(33 + i % 90) for i in range(4 * MB))
        assert await ask(database, "RETURN $text AS text", text=text) == [{"text": text}]
        items = [f"item {i}" for i in range(50_000)]
        assert await ask(database, "RETURN size($items) AS n", items=items) == [{"n": 50_000}]


async def test_a_request_longer_than_a_frame_is_refused_and_the_lane_goes_on(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        worker = worker_of(database)
        order = RunQuery(["RETURN $x AS x"], [False], {"x": "x" * MAX_PAYLOAD}, "json", 1000, "g", 0)
        execution = Execution(database.floor, Query(cypher=""), "long", write=False)
        try:
            await execution.seat()
            with pytest.raises(RequestRefused) as caught:
                await execution.perform(order)
        finally:
            await execution.finish()
        assert (caught.value.code, caught.value.committed) == ("too_large", False)
        assert await ask(database, "RETURN 1 AS one") == [{"one": 1}]
        assert worker_of(database) is worker
        assert worker.lanes.lent == 0


async def test_a_row_longer_than_a_frame_is_delivered(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_MEMORY_PER_DB_MB="1024") as node:
        database = await create(node)
        rows = await ask(database, f"RETURN repeat('x', {MAX_PAYLOAD + MB}) AS s")
        assert len(rows[0]["s"]) == MAX_PAYLOAD + MB


async def test_transactions_give_results_of_any_length_in_order(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        sets = tuple({"id": i, "s": f"row {i}"} for i in range(200))
        transaction = Transaction(
            statements=(
                statement("CREATE (:P {id: $id, s: $s})", parameter_sets=sets),
                statement("MATCH (p:P) RETURN p.id AS id, p.s AS s ORDER BY id"),
                statement(LONG.format(20_000)),
                statement("RETURN $x AS x", parameters={"x": [1, 2]}),
            )
        )
        answer = await database.transaction(transaction)
        assert answer.body is not None
        results = json.loads(answer.body)
        assert [one["row_count"] for one in results] == [0, 200, 20_000, 1]
        assert results[1]["data"][199] == {"id": 199, "s": "row 199"}
        assert results[2]["data"][-1] == {"x": 20_000, "y": 40_000, "z": "abcdefgh"}
        assert results[3] == {"columns": ["x"], "data": [{"x": [1, 2]}], "row_count": 1}
        assert transaction.committed is True
        assert held(database) == NOTHING


async def test_a_transaction_that_fails_applies_nothing_and_names_the_statement(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        cases = [
            (statement("CREATE (:P {id: $id})", parameter_sets=({"id": 2}, {"id": 1})), "constraint"),
            (statement("MATCH (q:Q) RETURN q"), "binder"),
            (statement("RETURN 1 / 0"), "runtime"),
            (statement("CREATE (:P {id: 9}); CREATE (:P {id: 10})"), "bad_request"),
            (statement("CREATE (:P {id: $id})", parameter_sets=()), "bad_request"),
        ]
        for last, code in cases:
            transaction = Transaction(statements=(statement("CREATE (:P {id: 1})"), last))
            with pytest.raises(NodeError) as caught:
                await database.transaction(transaction)
            assert (caught.value.code, caught.value.statement, caught.value.committed) == (code, 1, False)
            assert transaction.committed is False
            assert await ask(database, "MATCH (p:P) RETURN count(*) AS n") == [{"n": 0}]
        assert held(database) == NOTHING


async def test_a_full_queue_and_a_long_wait_are_told_apart(tmp_path: Path) -> None:
    settings = {"KUZU_MAX_CONNECTIONS_PER_DB": "1", "KUZU_QUEUE_LENGTH": "1", "KUZU_QUEUE_TIMEOUT": "0.3"}
    async with opened(tmp_path, **settings) as node:
        database, codes = await create(node), list[str]()

        async def waiter() -> None:
            codes.append((await failure(database, "RETURN 1")).code)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, database, ENDLESS)
            while not held(database).inside:
                await trio.lowlevel.checkpoint()
            async with trio.open_nursery() as waiters:
                waiters.start_soon(waiter)
                while not held(database).waiting:
                    await trio.lowlevel.checkpoint()
                waiters.start_soon(waiter)
            nursery.cancel_scope.cancel()
        assert codes == ["queue_full", "pool_exhausted"]


async def test_a_text_that_fails_behind_a_detaching_statement_says_what_has_committed(tmp_path: Path) -> None:
    """It ends in a checkpoint, which holds the statements before the one that failed."""
    async with opened(tmp_path) as node:
        database = await create(node)
        await ask(database, "CREATE (:P {id: 1})")
        first = await failure(database, "MATCH (a:P {id: 1}) DETACH DELETE a RETURN cast('x' AS INT64)")
        assert (first.committed, first.statement) == (False, None)
        later = await failure(database, "CREATE (:P {id: 2}); MATCH (a:P {id: 1}) DETACH DELETE a; CREATE (:P {id: 2})")
        assert (later.code, later.committed, later.statement) == ("constraint", True, 2)
        assert await ask(database, "MATCH (a:P) RETURN a.id AS id") == [{"id": 2}]


async def test_an_error_that_repeats_a_long_value_is_cut(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        error = await failure(await create(node), "RETURN error(lpad('x', 100000000, 'y'))")
        assert error.code == "runtime"
        assert len(error.detail) < 20_000
        assert error.detail.endswith("(100000019 characters)")
