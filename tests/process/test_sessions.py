"""Sessions with a node as users run it: its end by a signal, and by no signal at all."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio_websocket import CloseReason, ConnectionClosed, WebSocketConnection, wrap_client_stream

from tests.process.client import connected
from tests.process.nodes import NodeProcess, running

pytestmark = pytest.mark.trio
PATIENCE = 60
ENDLESS = "UNWIND range(1, 100000) AS a UNWIND range(1, 1000) AS b UNWIND range(1, 1000) AS c RETURN sum(a + b * c)"
LONG = "UNWIND range(1, 1500000) AS x RETURN x, 'some text that fills the row' AS z"


@attrs.frozen
class Talker:
    """A session of the database that `NodeClient.create` makes."""

    socket: WebSocketConnection

    async def say(self, kind: str, **fields: Any) -> None:
        await self.socket.send_message(json.dumps({"type": kind, "id": 1, **fields}))

    async def ask(self, kind: str, **fields: Any) -> Any:
        await self.say(kind, **fields)
        return json.loads(await self.socket.get_message())

    async def closed(self) -> CloseReason | None:
        with suppress(ConnectionClosed):
            while True:
                await self.socket.get_message()
        return self.socket.closed


@asynccontextmanager
async def talking(node: NodeProcess, graph: str) -> AsyncIterator[Talker]:
    async with await node.connect() as stream, trio.open_nursery() as nursery:
        path = f"/databases/{graph}/session"
        yield Talker(await wrap_client_stream(nursery, stream, "x", path, subprotocols=["kuzu.v1"]))
        await trio.aclose_forcefully(stream)
        nursery.cancel_scope.cancel()


async def test_a_node_with_all_kinds_of_sessions_ends_in_time(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE), running(tmp_path, KUZU_DRAIN_SECONDS="2") as node:
        async with connected(node) as client:
            await client.create()
        async with (
            talking(node, "g") as idle,
            talking(node, "g") as waiting,
            talking(node, "g") as busy,
            talking(node, "g") as deaf,
        ):
            await idle.ask("ping")
            assert (await waiting.ask("begin"))["type"] == "done"
            await busy.say("query", cypher=ENDLESS)
            await deaf.say("query", cypher=LONG)
            started = trio.current_time()
            node.send(signal.SIGTERM)
            ended = await idle.closed()
            assert ended is not None
            assert (ended.code, ended.reason) == (1012, "draining; retry_after=5")
            assert trio.current_time() - started < 1.5
            error = json.loads(await busy.socket.get_message())
            assert (error["code"], error["committed"]) == ("draining", False)
            for talker in (waiting, busy):
                ended = await talker.closed()
                assert ended is not None
                assert (ended.code, ended.reason) == (1012, "draining; retry_after=5")
            assert await node.exit_code() == 0
            assert trio.current_time() - started < 6
    assert not node.complaints()


async def test_a_stopped_reader_does_not_keep_its_transaction(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE), running(tmp_path, KUZU_STREAM_STALL_TIMEOUT="1") as node:
        async with connected(node) as client:
            await client.create()
        async with talking(node, "g") as deaf, talking(node, "g") as other:
            assert (await deaf.ask("begin"))["type"] == "done"
            await deaf.say("query", cypher=LONG)
            # trio-websocket reads one message ahead and then no more.
            while (answer := await other.ask("begin"))["type"] == "error":
                assert answer["code"] == "pool_exhausted"
            assert (await other.ask("rollback"))["type"] == "done"
