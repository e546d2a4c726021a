"""The other side of a session, written by hand: it hears orders and says what a test has it say."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import attrs
import trio
import trio.testing
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from kuzu_client._core.wire import Endpoint
from kuzu_client.config import KuzuClientConfig
from kuzu_client.session import Session, open_session
from kuzu_client.session.socket import Address

ENDPOINT = Endpoint.at("http://node.test:8001", "K", {})


@attrs.define(eq=False)
class Peer:
    """The node's end of one socket. Pings are answered by itself while somebody hears."""

    socket: WebSocketConnection
    stream: trio.abc.Stream | None = None
    heard: list[dict[str, Any]] = attrs.field(factory=list)

    async def hear(self) -> dict[str, Any]:
        """The next message that is no ping."""
        while True:
            message: dict[str, Any] = json.loads(await self.socket.get_message())
            if message["type"] != "ping":
                self.heard.append(message)
                return message
            await self.say("pong", message["id"])

    async def hear_all(self, count: int) -> list[dict[str, Any]]:
        return [await self.hear() for _ in range(count)]

    async def say(self, kind: str, to: object, **fields: Any) -> None:
        await self.socket.send_message(json.dumps({"type": kind, "id": to, **fields}))

    async def done(self, to: object, **fields: Any) -> None:
        await self.say("done", to, execution_time_ms=0.5, **fields)

    async def result(self, to: object, *values: object) -> None:
        rows = [{"n": value} for value in values]
        await self.say("result", to, columns=["n"], rows=rows, row_count=len(rows), execution_time_ms=0.5)

    async def error(self, to: object, code: str, status: int, *, committed: bool | None = False, **more: Any) -> None:
        title = code.capitalize()
        await self.say(
            "error", to, code=code, status=status, title=title, detail=f"the {code}", committed=committed, **more
        )

    async def hear_to_the_end(self) -> None:
        """Whatever comes is remembered; nothing is answered."""
        while True:
            await self.hear()

    async def answer_everything(self) -> None:
        """Every query with its text as the one value, everything else with `done`."""
        while True:
            message = await self.hear()
            if message["type"] == "query":
                await self.result(message["id"], message["cypher"])
            else:
                await self.done(message["id"])


async def pass_time(clock: trio.testing.MockClock, seconds: float) -> None:
    """On that clock, which jumps."""
    await trio.sleep_until(trio.current_time() + seconds)


Script = Callable[[Peer], Awaitable[None]]


def _pair() -> tuple[trio.abc.Stream, trio.abc.Stream]:
    return trio.testing.memory_stream_pair()


@attrs.define(eq=False)
class ScriptedNode:
    """Runs the script for each socket, in memory. `peers` has what each has heard, `streams` the client's ends."""

    nursery: trio.Nursery
    script: Script
    pair: Callable[[], tuple[trio.abc.Stream, trio.abc.Stream]] = _pair
    peers: list[Peer] = attrs.field(factory=list)
    streams: list[trio.abc.Stream] = attrs.field(factory=list)

    async def dial(self, address: Address, config: KuzuClientConfig) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        mine, yours = self.pair()
        self.nursery.start_soon(self._serve, mine)
        self.streams.append(yours)
        return yours

    def session(self, config: KuzuClientConfig | None = None) -> AbstractAsyncContextManager[Session]:
        return open_session(ENDPOINT, "g", config or KuzuClientConfig(), dial=self.dial)

    @property
    def said(self) -> list[dict[str, Any]]:
        """What the last socket has heard."""
        return self.peers[-1].heard

    async def _serve(self, stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, stream)
            peer = Peer(await request.accept(subprotocol="kuzu.v1"), stream)
            self.peers.append(peer)
            with suppress(ConnectionClosed):
                await self.script(peer)
            nursery.cancel_scope.cancel()
            await trio.aclose_forcefully(stream)


@asynccontextmanager
async def scripted(script: Script, **options: Any) -> AsyncIterator[ScriptedNode]:
    async with trio.open_nursery() as nursery:
        yield ScriptedNode(nursery, script, **options)
        nursery.cancel_scope.cancel()
