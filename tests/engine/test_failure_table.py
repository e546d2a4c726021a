"""The failure table of docs/architecture.md, line by line: what the request gets, and what the others notice."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from kuzu_node.engine.database import Database
from kuzu_node.engine.values import Query, State
from kuzu_node.errors import NodeError, Unavailable
from tests.engine.nodes import (
    DEAF,
    ENDLESS,
    NOTHING,
    ask,
    create,
    failure,
    force,
    held,
    opened,
    reach,
    worker_of,
)

pytestmark = pytest.mark.trio


async def wait_executing(database: Database, count: int = 1) -> None:
    """Until so many statements run in the worker; what is asked for lies in another process."""
    worker = database.floor.presence.worker
    while worker is None or len(worker.executing) < count:
        await trio.lowlevel.checkpoint()
        worker = database.floor.presence.worker


async def test_bad_cypher_and_constraints_fail_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        pid = worker_of(database).process.pid
        await ask(database, "CREATE (:P {id: 1})")
        cases = [
            ("RETURN )", "syntax"),
            ("MATCH (q:Q) RETURN q", "binder"),
            ("RETURN 1 / 0", "runtime"),
            ("CREATE (:P {id: 1})", "constraint"),
        ]
        for text, code in cases:
            query = Query(cypher=text)
            error = await failure(database, text, query)
            assert (error.code, error.committed, query.committed) == (code, False, False)
            assert held(database) == NOTHING
        assert await ask(database, "MATCH (p:P) RETURN count(*) AS n") == [{"n": 1}]
        assert worker_of(database).process.pid == pid


async def test_a_timeout_that_the_engine_obeys_comes_through_soon_and_harms_nobody(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        pid = worker_of(database).process.pid
        for write in (False, True):
            text = f"{ENDLESS.replace('RETURN', 'WITH')} AS s CREATE (:P {{id: s}})"
            query = Query(cypher=text if write else ENDLESS)
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(ask, database, "", query)
                    await wait_executing(database)
                    # Deep in the execution, as a time-out would be.
                    with trio.move_on_after(0.1):
                        await trio.sleep_forever()
                    interrupted = trio.current_time()
                    scope.cancel()
            assert trio.current_time() - interrupted < 0.5
            assert query.committed is False
            assert held(database) == NOTHING
        assert await ask(database, "MATCH (p:P) RETURN count(*) AS n") == [{"n": 0}]
        assert worker_of(database).process.pid == pid


async def test_a_cancellation_that_comes_with_the_statement_is_not_lost(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_KILL_GRACE="20") as node:
        database = await create(node)
        worker = worker_of(database)
        for step in range(12):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(ask, database, ENDLESS)
                    await wait_executing(database)
                    for _ in range(step * 3):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()
            assert held(database) == NOTHING
        assert worker_of(database) is worker
        assert await ask(database, "RETURN 1 AS one") == [{"one": 1}]


async def test_a_statement_that_ignores_its_interrupt_is_killed_after_the_grace(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database, other = await create(node), await create(node, "other")
        other_worker, worker = worker_of(other), worker_of(database)
        errors: list[NodeError] = []

        async def bystander() -> None:
            errors.append(await failure(database, ENDLESS))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(bystander)
            await wait_executing(database)
            query = Query(cypher=DEAF)
            with trio.move_on_after(0.3) as scope:
                await force(database, DEAF)
            assert scope.cancelled_caught
            ended = trio.current_time()
            assert 0.5 <= ended - scope.deadline < 2
            assert await ask(other, "RETURN 1 AS one") == [{"one": 1}]
        assert query.committed is False
        assert [(one.code, one.committed) for one in errors] == [("database_restarting", False)]
        assert isinstance(errors[0], Unavailable)
        assert errors[0].retry_after
        assert await ask(database, "RETURN 1 AS one") == [{"one": 1}]
        assert worker_of(database) is not worker
        assert worker_of(other) is other_worker
        assert database.info().restarts == 1
        # The one that ran beside it is no suspect.
        for _ in range(2):
            assert database.floor.quarantine.refused_for(ENDLESS, trio.current_time()) == 0
        assert held(database) == NOTHING


@pytest.mark.parametrize(
    "text",
    [
        "CALL READ_PARQUET('x') RETURN *",
        "CREATE MACRO m(x) AS x + 1; CALL show_functions() RETURN *",
    ],
)
async def test_a_crash_ends_its_own_worker_alone_and_it_is_back_within_a_second(tmp_path: Path, text: str) -> None:
    async with opened(tmp_path) as node:
        database, other = await create(node), await create(node, "other")
        await ask(database, "CREATE (:P {id: 1})")
        other_worker = worker_of(other)
        *before, last = text.split("; ")
        for one in before:
            await force(database, one, write=True)
        with pytest.raises(Unavailable) as caught:
            await force(database, last)
        died = trio.current_time()
        assert (caught.value.code, caught.value.committed) == ("database_restarting", False)
        assert "SIGSEGV" in caught.value.detail
        assert await ask(database, "MATCH (p:P) RETURN p.id AS id") == [{"id": 1}]
        # A second on an idle machine; others share this one.
        assert trio.current_time() - died < 5
        assert worker_of(other) is other_worker
        assert held(database) == NOTHING


async def test_what_the_screen_lets_through_of_the_crash_list_crashes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        worker = worker_of(database)
        await ask(database, "CREATE NODE TABLE U(id INT64, u UNION(a INT64, b STRING), PRIMARY KEY(id))")
        await ask(database, "CREATE (:U {id: 1, u: NULL})")
        assert await ask(database, "RETURN date('20000-01-01') AS d") == [{"d": "20000-01-01"}]
        assert await ask(database, "MATCH (n:U) RETURN n.u AS u") == [{"u": None}]
        cases: list[object] = [[{"a": 1}, None], [{"a": None}, {"a": 1}], {"a": [{"b": None}]}]
        deep: object = 1
        for _ in range(20_000):
            deep = [deep]
        for value in (*cases, deep):
            with suppress(NodeError):
                await ask(database, "RETURN $value AS v", value=value)
        for text in ("CALL READ_PARQUET('x') RETURN *", "CREATE MACRO m(x) AS x + 1", "COPY P FROM READ_PARQUET('x')"):
            assert (await failure(database, text)).code == "forbidden_statement"
        assert worker_of(database) is worker


async def test_a_worker_that_the_kernel_kills_takes_only_its_own_statements_along(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database, other = await create(node), await create(node, "other")
        await ask(database, "CREATE (:P {id: 1})")
        other_worker, errors = worker_of(other), list[NodeError]()

        async def victim(text: str) -> None:
            errors.append(await failure(database, text))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(victim, ENDLESS)
            nursery.start_soon(victim, f"{ENDLESS.replace('RETURN', 'WITH')} AS s CREATE (:P {{id: s}})")
            await wait_executing(database, 2)
            os.kill(worker_of(database).process.pid, signal.SIGKILL)
        # Of the write nobody knows; the read cannot have done anything.
        assert {error.committed for error in errors} == {None, False}
        assert {error.code for error in errors} == {"database_restarting"}
        assert all("SIGKILL" in error.detail for error in errors)
        assert await ask(database, "MATCH (p:P) RETURN count(*) AS n") == [{"n": 1}]
        assert worker_of(other) is other_worker
        assert held(database) == NOTHING


async def test_a_worker_killed_while_idle_is_replaced_before_anybody_asks(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        worker = worker_of(database)
        os.kill(worker.process.pid, signal.SIGKILL)
        await reach(database, State.RESTARTING)
        await reach(database, State.READY)
        assert worker_of(database) is not worker
        assert await ask(database, "RETURN 1 AS one") == [{"one": 1}]


async def test_a_client_that_goes_frees_its_slot_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_MAX_CONNECTIONS_PER_DB="1") as node:
        database = await create(node)
        for _ in range(5):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(ask, database, ENDLESS)
                    await wait_executing(database)
                    scope.cancel()
                    gone = trio.current_time()
            assert await ask(database, "RETURN 1 AS one") == [{"one": 1}]
            # 100 ms on an idle machine; others share this one.
            assert trio.current_time() - gone < 0.5
