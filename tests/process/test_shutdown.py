"""SIGTERM and SIGINT to a node with all kinds of work under way: it ends in time, in order, and loses nothing."""

from __future__ import annotations

import itertools
import signal
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from tests.process.client import ConnectionLost, NodeClient, Reply, connected
from tests.process.nodes import NodeProcess, running

pytestmark = pytest.mark.trio
PATIENCE = 60
LONG = "UNWIND range(1, 500000) AS x RETURN x, x * 2 AS y, 'abcdefgh' AS z"
# Deaf to timeout and interrupt for many seconds.
DEAF = "RETURN size(range(1, 40000000))"
ENDLESS = "UNWIND range(1, 100000) AS a UNWIND range(1, 1000) AS b UNWIND range(1, 1000) AS c RETURN sum(a + b * c)"
ONE = b'{"cypher": "RETURN 1 AS one"}'
BATCH = 5
REFUSALS = {"draining"}


@attrs.define(eq=False)
class Load:
    """What writers have been told about: keys of single rows, and first keys of batches."""

    node: NodeProcess
    singles: set[int] = attrs.field(factory=set)
    batches: set[int] = attrs.field(factory=set)
    uploads: set[int] = attrs.field(factory=set)
    refused: set[str] = attrs.field(factory=set)
    streamed: int = 0
    cut: int = 0
    enough: trio.Event = attrs.field(factory=trio.Event)
    _keys: itertools.count[int] = attrs.field(factory=lambda: itertools.count(0, 1000))

    async def run_client(self, kind: Any) -> None:
        """One client after the other until the node takes no more."""
        while True:
            try:
                async with connected(self.node) as client:
                    while True:
                        await kind(client, next(self._keys))
                        if len(self.singles) > 30 and len(self.batches) > 10 and self.uploads and self.streamed:
                            self.enough.set()
            except ConnectionLost:
                self.cut += 1
            except OSError:
                return

    async def write_single(self, client: NodeClient, key: int) -> None:
        if self._accepted(await client.query("CREATE (:P {id: $id, s: 'single'})", id=key)):
            self.singles.add(key)

    async def write_batch(self, client: NodeClient, key: int) -> None:
        rows = [{"id": key + number} for number in range(BATCH)]
        statement = {"cypher": "CREATE (:P {id: $id, s: 'batch'})", "parameter_sets": rows}
        if self._accepted(await client.transaction(statement)):
            self.batches.add(key)

    async def upload(self, client: NodeClient, key: int) -> None:
        body = "".join(f"{key + number},upload\n" for number in range(BATCH))
        if self._accepted(await client.load("P", f"id,s\n{body}".encode())):
            self.uploads.add(key)

    async def stream(self, client: NodeClient, _: int) -> None:
        await client.start_query(LONG.replace("500000", "100000"), accept="application/jsonl")
        status = (await client.head())[0]
        while await client.receive():
            pass
        self.streamed += status == 200

    def _accepted(self, reply: Reply) -> bool:
        if reply.status == 503:
            self.refused.add(reply.json["code"])
            assert reply.json["committed"] is False
        else:
            assert reply.status == 200, reply
        return reply.status == 200


async def check_nothing_lost(load: Load, node: NodeProcess) -> None:
    """All that was acknowledged is there, and nothing half."""
    async with connected(node) as client:
        found: dict[str, set[int]] = {"single": set(), "batch": set(), "upload": set()}
        for key, kind in await client.rows("MATCH (p:P) RETURN p.id, p.s"):
            found[kind].add(key)
        assert load.singles <= found["single"]
        for kind, acknowledged in (("batch", load.batches), ("upload", load.uploads)):
            first = {key - key % 1000 for key in found[kind]}
            assert acknowledged <= first
            assert found[kind] == {key + number for key in first for number in range(BATCH)}
        key = max(load.singles)
        assert await client.value("MATCH (p:P {id: $id}) RETURN p.s", id=key) == "single"
        await client.rows("CREATE (:P {id: -1})")


async def under_load(node: NodeProcess, number: signal.Signals) -> Load:
    """The load up to the moment when nobody gets a connection any more."""
    load = Load(node)
    async with trio.open_nursery() as nursery:
        for kind, count in ((load.write_single, 6), (load.write_batch, 3), (load.upload, 2), (load.stream, 3)):
            for _ in range(count):
                nursery.start_soon(load.run_client, kind)
        await load.enough.wait()
        node.send(number)
    return load


async def test_sigterm_under_load_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        with running(tmp_path) as node:
            async with connected(node) as client:
                await client.create()
            load = await under_load(node, signal.SIGTERM)
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


async def test_a_draining_node_refuses_new_work_on_connections_that_it_still_answers(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE), running(tmp_path) as node:
        async with connected(node) as client, connected(node) as uploading:
            await client.create()
            # A request whose body has begun keeps its connection through the drain.
            await uploading.begin("POST", "/databases/g/query", {"content-length": str(len(ONE))})
            await uploading.send(ONE[:10])
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(finish_in_the_drain, node, uploading))
                node.send(signal.SIGTERM)
            assert await node.exit_code() == 0


async def finish_in_the_drain(node: NodeProcess, uploading: NodeClient) -> None:
    await node.until_said("stopping")
    await uploading.send(ONE[10:])
    reply = await uploading.finish()
    assert (reply.status, reply.json["data"]) == (200, [{"one": 1}])
    assert reply.headers["connection"] == "close"
