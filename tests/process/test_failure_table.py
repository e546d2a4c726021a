"""What one database's failures cost: the request, others on the database, and other databases, all over HTTP."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.process.client import NodeClient, Reply, ask, connected
from tests.process.nodes import NodeProcess, running

pytestmark = pytest.mark.trio
PATIENCE = 60
# Others share the machine; on an idle one it is a fraction of it.
SOON = 3.0
ENDLESS = "UNWIND range(1, 100000) AS a UNWIND range(1, 1000) AS b UNWIND range(1, 1000) AS c RETURN sum(a + b * c)"
LONG = "UNWIND range(0, 499) AS a UNWIND range(0, 499) AS b RETURN a * 1000 + b AS x, 'abcdefgh' AS s"
FAILING_COPY = "COPY P(id, s) FROM (UNWIND range(1000, 0, -1) AS x RETURN x, 'copied')"


@asynccontextmanager
async def two_databases(node: NodeProcess) -> AsyncIterator[tuple[NodeClient, NodeClient]]:
    async with connected(node, "one") as one, connected(node, "other") as other:
        for client in (one, other):
            await client.create()
            await client.rows("CREATE (:P {id: 1, s: 'first'})")
        yield one, other


def workers_of(node: NodeProcess, database: str) -> list[int]:
    """The workers that the database has had, in order."""
    opened = (event for event in node.events if event["event"] == "database_opened")
    return [event["pid"] for event in opened if event["database"] == database]


def told(reply: Reply) -> tuple[int, str, bool | None]:
    return reply.status, reply.json["code"], reply.json["committed"]


async def test_a_worker_killed_from_outside_is_told_with_its_signal_and_costs_the_neighbour_nothing(
    tmp_path: Path,
) -> None:
    with trio.fail_after(PATIENCE), running(tmp_path) as node:
        async with two_databases(node) as (one, other), connected(node, "one") as victim:
            await victim.start_query(ENDLESS)
            while (await other.call("GET", "/admin/connections")).json["by_database"]["one"] == 0:
                pass
            os.kill(workers_of(node, "one")[-1], signal.SIGKILL)
            status, headers = await victim.head()
            assert (status, "retry-after" in headers) == (503, True)
            assert b"SIGKILL" in await victim.rest()
            died = trio.current_time()
            assert await one.value("MATCH (p:P) RETURN p.s") == "first"
            assert trio.current_time() - died < SOON
            assert await other.value("MATCH (p:P) RETURN p.s") == "first"
        assert [len(workers_of(node, name)) for name in ("one", "other")] == [2, 1]


async def test_a_failed_bulk_statement_lets_readers_finish_and_gives_the_next_write_a_fresh_worker(
    tmp_path: Path,
) -> None:
    with trio.fail_after(PATIENCE), running(tmp_path) as node:
        async with two_databases(node) as (one, other), connected(node, "one") as reader:
            await reader.start_query(LONG, accept="application/jsonl")
            assert (await reader.head())[0] == 200
            first = await reader.receive()
            assert told(await one.query(FAILING_COPY)) == (409, "constraint", False)
            assert (first + await reader.rest()).count(b"\n") == 250_000
            failed = trio.current_time()
            await one.rows("CREATE (:P {id: 2, s: 'second'})")
            assert trio.current_time() - failed < SOON
            assert await one.rows("MATCH (p:P) RETURN p.id ORDER BY p.id") == [[1], [2]]
            assert await other.value("MATCH (p:P) RETURN p.s") == "first"
        assert [len(workers_of(node, name)) for name in ("one", "other")] == [2, 1]


async def test_a_file_that_does_not_open_is_told_with_its_cause_and_opens_again_when_repaired(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        with running(tmp_path) as node:
            async with two_databases(node):
                pass
        file = tmp_path / "one" / "graph.kuzu"
        good = file.read_bytes()
        file.write_bytes(b"no database" + good[11:])
        with running(tmp_path) as node:
            async with connected(node, "one") as one, connected(node, "other") as other:
                refused = await one.query("RETURN 1")
                assert told(refused) == (503, "database_failed", False)
                assert refused.headers["retry-after"]
                assert await other.value("MATCH (p:P) RETURN p.s") == "first"
                states = (await ask(node, "GET", "/status/databases")).json
                assert (states["healthy_databases"], states["unhealthy_databases"]) == (1, 1)
                broken = next(state for state in states["databases"] if state["graph_id"] == "one")
                assert (broken["state"], broken["is_healthy"]) == ("failed", False)
                assert broken["last_error"] in refused.json["detail"]
                health = await ask(node, "GET", "/health")
                assert (health.status, health.json["status"]) == (200, "degraded")
                file.write_bytes(good)
                assert (await ask(node, "POST", "/admin/databases/one/reopen")).json["state"] == "ready"
                assert await one.value("MATCH (p:P) RETURN p.s") == "first"
            assert {event["event"] for event in node.complaints()} == {"opening_failed"}
            node.events.clear()
