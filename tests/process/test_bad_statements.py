"""Statements that crash or capture the engine, as requests: their own worker at most, and not for long."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from tests.process.client import NodeClient, Reply, connected, healthy
from tests.process.nodes import NodeProcess, running

pytestmark = pytest.mark.trio
PATIENCE = 60
# Longer than the engine takes to obey on a busy machine.
GRACE = 1.5
# Others share the machine; on an idle one both are a fraction of it.
SOON = 3.0
DEAF = "RETURN size(range(1, 40000000))"
ENDLESS = "UNWIND range(1, 100000) AS a UNWIND range(1, 1000) AS b UNWIND range(1, 1000) AS c RETURN sum(a + b * c)"
TABLES = """
CREATE NODE TABLE P(id INT64, s STRING, PRIMARY KEY(id));
CREATE NODE TABLE U(id INT64, u UNION(a INT64, b STRING), PRIMARY KEY(id))
"""
LET_THROUGH: list[tuple[str, Any]] = [
    ("RETURN date('20000-01-01') AS d", "20000-01-01"),
    ("RETURN timestamp('12000-01-01 00:00:00') AS d", "12000-01-01T00:00:00"),
    ("MATCH (n:U) RETURN n.u AS u", None),
]
REFUSED = [
    "CALL READ_PARQUET('x') RETURN *",
    "CALL READ_CSV_SERIAL('x') RETURN *",
    "CALL READ_CSV_PARALLEL('x') RETURN *",
    "CALL READ_NPY('x') RETURN *",
    "CALL JSON_SCAN('x') RETURN *",
    "COPY P FROM READ_PARQUET('x')",
    "CREATE MACRO m(x) AS x + 1",
    "CALL show_functions() RETURN *",
]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    settings = {"KUZU_QUERY_TIMEOUT": "20", "KUZU_MAX_DATABASES_PER_NODE": "30"}
    with running(tmp_path_factory.mktemp("node"), KUZU_KILL_GRACE=str(GRACE), **settings) as one:
        yield one


@asynccontextmanager
async def client_of(node: NodeProcess, name: str) -> AsyncIterator[NodeClient]:
    """A connection to a database of the test's own, while another database goes on answering."""
    with trio.fail_after(PATIENCE):
        async with connected(node, f"{name}-other") as other, connected(node, name) as client:
            for one in (other, client):
                await one.create(TABLES)
            await client.rows("CREATE (:P {id: 1}), (:U {id: 1, u: NULL})")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(go_on, other)
                yield client
                nursery.cancel_scope.cancel()
            states = (await client.call("GET", "/status/databases")).json["databases"]
            assert [one["restarts"] for one in states if one["graph_id"] == other.database] == [0]
            assert await healthy(node)


async def go_on(other: NodeClient) -> None:
    while True:
        assert await other.value("RETURN 1 AS one") == 1


async def restarts(client: NodeClient) -> int:
    states = (await client.call("GET", "/status/databases")).json["databases"]
    [number] = [one["restarts"] for one in states if one["graph_id"] == client.database]
    return int(number)


def problem(reply: Reply) -> tuple[int, str, bool | None]:
    return reply.status, reply.json["code"], reply.json["committed"]


async def test_nothing_of_the_crash_list_crashes(node: NodeProcess) -> None:
    async with client_of(node, "crashes") as client:
        for text, value in LET_THROUGH:
            assert await client.value(text) == value
            for accept in ("application/vnd.apache.arrow.stream", "text/csv", "application/x-ndjson"):
                assert (await client.query(text, accept=accept)).status == 200
        for text in REFUSED:
            assert problem(await client.query(text)) == (403, "forbidden_statement", False)
        assert await restarts(client) == 0


async def test_parameters_that_crash_the_engine_do_not_reach_it(node: NodeProcess) -> None:
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    async with client_of(node, "parameters") as client:
        for value in ([{"a": 1}, None], [{"a": None}, {"a": 1}], {"a": [{"b": None}]}, deep):
            reply = await client.query("RETURN $value AS v", value=value)
            assert (reply.status, reply.json.get("committed", False)) in {(200, False), (400, False), (422, False)}
            if reply.status == 200:
                assert reply.json["data"] == [{"v": value}]
        nested = b"[" * 20_000 + b"]" * 20_000
        body = b'{"cypher": "RETURN $value AS v", "parameters": {"value": %b}}' % nested
        assert (await client.call("POST", f"/databases/{client.database}/query", body)).status in (400, 422)
        assert await restarts(client) == 0


async def test_a_dropped_column_beside_fresh_rows_leaves_a_database_that_goes_on(node: NodeProcess) -> None:
    async with client_of(node, "drops") as client:
        await client.rows("ALTER TABLE P ADD extra INT64")
        await client.rows("CREATE (:P {id: 2, s: 'two', extra: 2})")
        await client.rows("ALTER TABLE P DROP s")
        await client.rows("CREATE (:P {id: 3, extra: 3})")
        assert await client.rows("MATCH (p:P) RETURN p.id, p.extra ORDER BY p.id") == [[1, None], [2, 2], [3, 3]]
        assert await restarts(client) == 0


async def test_a_timeout_that_the_engine_obeys_is_408_and_costs_nothing_else(node: NodeProcess) -> None:
    async with client_of(node, "obeys") as client:
        for text in (ENDLESS, ENDLESS.replace("RETURN", "WITH") + " AS s CREATE (:P {id: s})"):
            started = trio.current_time()
            assert problem(await client.query(text, limit=0.5)) == (408, "query_timeout", False)
            assert 0.5 <= trio.current_time() - started < 0.5 + SOON
        assert await client.value("MATCH (p:P) RETURN count(*)") == 1
        assert await restarts(client) == 0


async def test_a_timeout_that_the_engine_ignores_is_408_after_the_grace(node: NodeProcess) -> None:
    async with client_of(node, "ignores") as client:
        started = trio.current_time()
        assert problem(await client.query(DEAF, limit=0.5)) == (408, "query_timeout", False)
        ended = trio.current_time()
        assert 0.5 + GRACE <= ended - started < 0.5 + GRACE + SOON
        assert await client.value("MATCH (p:P) RETURN count(*)") == 1
        assert trio.current_time() - ended < SOON
        assert await restarts(client) == 1


async def test_others_on_the_database_are_told_to_come_again(node: NodeProcess) -> None:
    async with client_of(node, "told") as client, connected(node, client.database) as bystander:
        async with trio.open_nursery() as nursery:

            async def fail_along() -> None:
                reply = await bystander.query(ENDLESS)
                assert problem(reply) == (503, "database_restarting", False)
                assert reply.headers["retry-after"]
                await bystander.rows("CREATE (:P {id: 2})")

            nursery.start_soon(fail_along)
            assert (await client.query(DEAF, limit=0.5)).status == 408
        assert await client.value("MATCH (p:P) RETURN count(*)") == 2


async def test_a_client_that_is_gone_leaves_no_slot_behind(node: NodeProcess) -> None:
    async with client_of(node, "gone") as client:
        for _ in range(5):
            # More than there are slots.
            async with connected(node, client.database) as leaver:
                await leaver.start_query(ENDLESS)
                await under_way(client, 1)
            left = trio.current_time()
            await under_way(client, 0)
            assert trio.current_time() - left < SOON
        assert await client.value("MATCH (p:P) RETURN count(*)") == 1
        assert await restarts(client) == 0


async def under_way(client: NodeClient, count: int) -> None:
    """Until so many statements of the database are under way."""
    while True:
        by_database = (await client.call("GET", "/admin/connections")).json["by_database"]
        if by_database[client.database] == count:
            return
