"""The longer ways through a database, cancelled at every step: nothing stays taken, and `committed` tells the truth."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

from kuzu_node.engine.database import Database
from kuzu_node.engine.gate import HOLD_BACK
from kuzu_node.engine.values import Form, LoadRequest, Query, Transaction, TransactionStatement
from tests.engine.cancelling import cancel_at
from tests.engine.nodes import ENDLESS, LONG, NOTHING, ask, create, held, opened, whole

pytestmark = pytest.mark.trio

MOST = 150
COLUMNS = 80


@attrs.frozen
class Attempt:
    """`count` finds out whether it was carried out; `request` knows, where there is one to ask."""

    run: Callable[[], Awaitable[object]]
    count: str
    request: Query | Transaction | None = None


def query(database: Database, text: str, count: str) -> Attempt:
    asked = Query(cypher=text, form=Form.NDJSON)

    async def run() -> None:
        async with database.query(asked) as answer:
            await whole(answer)

    return Attempt(run, count, asked)


def row(number: int) -> str:
    return f"MATCH (p:P {{id: {number}}}) RETURN count(*) AS n"


def copy(database: Database, number: int) -> Attempt:
    return query(database, f"COPY P FROM (UNWIND [{number}] AS x RETURN x, 'a')", row(number))


def detach(database: Database, number: int) -> Attempt:
    text = f"CREATE (b:P {{id: -1}}) DETACH DELETE b WITH 1 AS one CREATE (:P {{id: {number}}}) WITH 1 AS two "
    return query(database, text + LONG.format(20_000), row(number))


def index(database: Database, number: int) -> Attempt:
    count = f"CALL show_indexes() WHERE index_name = 'i{number}' RETURN count(*) AS n"
    return query(database, f"CALL CREATE_FTS_INDEX('P', 'i{number}', ['s'])", count)


def drop(database: Database, number: int) -> Attempt:
    count = f"CALL table_info('D') WHERE name = 'c{number}' RETURN 1 - count(*) AS n"
    return query(database, f"ALTER TABLE D DROP c{number}", count)


def transaction(database: Database, number: int) -> Attempt:
    texts = (f"CREATE (:P {{id: {number}}})", LONG.format(20_000))
    asked = Transaction(statements=tuple(TransactionStatement(cypher=text) for text in texts))
    return Attempt(partial(database.transaction, asked), row(number), asked)


def ddl(database: Database, number: int) -> Attempt:
    count = f"CALL show_tables() WHERE name = 'T{number}' RETURN count(*) AS n"
    return Attempt(partial(database.apply_ddl, f"CREATE NODE TABLE T{number}(id INT64, PRIMARY KEY(id))"), count)


def load(database: Database, number: int, *, ignore_errors: bool = False) -> Attempt:
    async def run() -> None:
        async with database.staging() as folder:
            path = folder / "rows.csv"
            path.write_text(f"id,s\n{number},a\n", encoding="utf-8")
            await database.load(LoadRequest(table="P", path=str(path), format="csv", ignore_errors=ignore_errors))

    return Attempt(run, row(number))


def schema(database: Database, number: int) -> Attempt:
    return Attempt(database.schema, "RETURN 1 AS n")


@pytest.mark.parametrize(
    "attempt",
    [copy, detach, index, drop, transaction, ddl, load, partial(load, ignore_errors=True), schema],
    ids=["copy", "detach", "index", "drop", "transaction", "ddl", "load", "bulk load", "schema"],
)
async def test_nothing_stays_taken_wherever_it_is_cancelled(
    tmp_path: Path, attempt: Callable[[Database, int], Attempt]
) -> None:
    # On a busy machine an index statement may be deaf for a while, and twice killed it would be refused.
    async with opened(tmp_path, KUZU_KILL_GRACE="10") as node:
        database = await create(node)
        columns = "".join(f", c{number} INT64" for number in range(COLUMNS))
        await database.apply_ddl(f"CREATE NODE TABLE D(id INT64{columns}, PRIMARY KEY(id))")
        await ask(database, "CREATE (:D {id: 1})")
        for number in range(1, MOST):
            tried = attempt(database, number)
            ended = await cancel_at(tried.run, number)
            assert held(database) == NOTHING, number
            worker = database.floor.presence.worker
            assert worker is None or worker.process.doomed or not worker.lanes.lent, number
            assert not database.folder.marker.exists() or worker is None or worker.process.doomed, number
            done = bool((await ask(database, tried.count))[0]["n"])
            assert tried.request is None or tried.request.committed is done, number
            if ended:
                break
        assert ended
        assert done
        assert not list(database.folder.staging.iterdir())


@pytest.mark.parametrize("attempt", [copy, detach], ids=["copy", "detach"])
async def test_who_waits_to_be_alone_goes_without_a_trace(
    tmp_path: Path, attempt: Callable[[Database, int], Attempt]
) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, database, ENDLESS)
            while not (before := held(database)).inside:
                await trio.lowlevel.checkpoint()
            tried = attempt(database, 1)
            # Beyond the time for which it holds others back.
            with trio.move_on_after(HOLD_BACK + 0.5) as scope:
                await tried.run()
            assert scope.cancelled_caught
            assert held(database) == before
            assert not database.floor.locks.gate.closed
            nursery.cancel_scope.cancel()
        assert held(database) == NOTHING
        assert tried.request is not None
        assert tried.request.committed is False
        assert await ask(database, tried.count) == [{"n": 0}]
        await attempt(database, 2).run()
