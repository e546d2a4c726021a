"""SIGTERM and SIGINT to a node with all kinds of work under way: it ends in time, in order, and loses nothing."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from tests.process.client import ConnectionLost, NodeClient, connected
from tests.process.load import Load, check_nothing_lost
from tests.process.nodes import NodeProcess, running

pytestmark = pytest.mark.trio
PATIENCE = 60
LONG = "UNWIND range(0, 999) AS a UNWIND range(0, 499) AS b RETURN a * 1000 + b AS x, a AS y, 'abcdefgh' AS z"
# Deaf to timeout and interrupt for many seconds.
DEAF = "RETURN size(range(1, 40000000))"
ENDLESS = "UNWIND range(1, 100000) AS a UNWIND range(1, 1000) AS b UNWIND range(1, 1000) AS c RETURN sum(a + b * c)"
ONE = b'{"cypher": "RETURN 1 AS one"}'
REFUSALS = {"draining"}


async def test_sigterm_under_load_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    load = Load()
    with trio.fail_after(PATIENCE):
        with running(tmp_path) as node:
            async with connected(node) as client:
                await client.create()
            await load.put_on(node, signal.SIGTERM)
            assert await node.exit_code() == 0
            assert load.refused <= REFUSALS
            assert node.said("stopped")
        with running(tmp_path) as node:
            await check_nothing_lost(load, node)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_node_ends_at_once(tmp_path: Path, number: signal.Signals) -> None:
    with trio.fail_after(PATIENCE), running(tmp_path, KUZU_DRAIN_SECONDS="50") as node:
        async with connected(node) as client, connected(node):
            await client.create()
            started = trio.current_time()
            node.send(number)
            assert await node.exit_code() == 0
            assert trio.current_time() - started < 5
        assert node.said("stopped")


async def ask_and_read_nothing(node: NodeProcess, cypher: str, *, task_status: trio.TaskStatus[None]) -> None:
    async with connected(node) as client:
        await client.start_query(cypher)
        if cypher == LONG:
            await client.head()
        task_status.started()
        await node.exit_code()


@pytest.mark.parametrize("cypher", [LONG, DEAF, ENDLESS])
async def test_work_that_does_not_end_is_ended_when_the_drain_is_over(tmp_path: Path, cypher: str) -> None:
    settings = {"KUZU_DRAIN_SECONDS": "1", "KUZU_STREAM_STALL_TIMEOUT": "50", "KUZU_QUERY_TIMEOUT": "50"}
    with trio.fail_after(PATIENCE):
        with running(tmp_path, **settings) as node:
            async with connected(node) as client:
                await client.create()
                await client.rows("CREATE (:P {id: 1})")
                async with trio.open_nursery() as nursery:
                    for _ in range(2):
                        await nursery.start(ask_and_read_nothing, node, cypher)
                    await busy(client, 2)
                    started = trio.current_time()
                    node.send(signal.SIGTERM)
                    assert await node.exit_code() == 0
                    assert 1 <= trio.current_time() - started < 6
        with running(tmp_path) as node:
            async with connected(node) as client:
                assert await client.value("MATCH (p:P {id: 1}) RETURN count(*)") == 1


async def busy(client: NodeClient, count: int) -> None:
    """Until so many statements are under way."""
    while (await client.call("GET", "/admin/connections")).json["active_connections"] < count:
        pass


async def test_a_second_signal_ends_the_drain_and_still_loses_nothing(tmp_path: Path) -> None:
    settings = {"KUZU_DRAIN_SECONDS": "50", "KUZU_QUERY_TIMEOUT": "50"}
    with trio.fail_after(PATIENCE):
        with running(tmp_path, **settings) as node:
            async with connected(node) as client:
                await client.create()
                await client.rows("CREATE (:P {id: 1})")
                async with trio.open_nursery() as nursery:
                    await nursery.start(ask_and_read_nothing, node, ENDLESS)
                    await busy(client, 1)
                    node.send(signal.SIGTERM)
                    await node.until_said("stopping")
                    node.send(signal.SIGINT)
                    started = trio.current_time()
                    assert await node.exit_code() == 0
                    assert trio.current_time() - started < 6
        with running(tmp_path) as node:
            async with connected(node) as client:
                assert await client.value("MATCH (p:P {id: 1}) RETURN count(*)") == 1


async def test_a_request_under_way_is_answered_in_the_drain_and_nobody_else_is_let_in(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE), running(tmp_path) as node:
        async with connected(node) as client, connected(node) as uploading, connected(node) as late:
            await client.create()
            await uploading.begin("POST", "/databases/g/query", {"content-length": str(len(ONE))})
            await uploading.send(ONE[:10])
            # Its head is not complete when the signal comes.
            await late.stream.send_all(b"GET /health HTTP/1.1\r\n")
            await busy_uploading(client)
            node.send(signal.SIGTERM)
            await node.until_said("stopping")
            with pytest.raises(ConnectionLost):
                await late.head()
            await refusing(node)
            await uploading.send(ONE[10:])
            reply = await uploading.finish()
            assert (reply.status, reply.json["data"]) == (200, [{"one": 1}])
            assert reply.headers["connection"] == "close"
            assert await node.exit_code() == 0


async def refusing(node: NodeProcess) -> None:
    """Until nobody gets a connection."""
    with suppress(OSError):
        while True:
            await (await node.connect()).aclose()


async def busy_uploading(client: NodeClient) -> None:
    """A round trip behind the other connections' bytes: the node has seen those too."""
    assert (await client.call("GET", "/health")).status == 200
