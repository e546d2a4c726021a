"""A client without a socket: drives the app by scope, receive and send, as a server does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
import msgspec
import trio

from kuzu_node.http.app import App, open_app
from tests.http.fakes import KEY, FakeNode

WITH_KEY = ((b"x-kuzu-api-key", KEY),)
Message = MutableMapping[str, Any]


@attrs.frozen
class Reply:
    """What reached the client. `complete`: the app ended the body."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes
    complete: bool
    messages: tuple[Message, ...]

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@attrs.define(eq=False)
class Exchange:
    """One request as a server hands it to the app. `feed` and `disconnect` are the client; `gate` stops its reading."""

    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    http_version: str = "1.1"
    sent: list[Message] = attrs.field(factory=list)
    reads: int = 0
    readers: int = 0
    gate: trio.Event | None = None
    _to_app: tuple[trio.MemorySendChannel[Message], trio.MemoryReceiveChannel[Message]] = attrs.field(
        factory=lambda: trio.open_memory_channel[Message](100)
    )

    def feed(self, body: bytes, *, more: bool = False) -> None:
        self._to_app[0].send_nowait({"type": "http.request", "body": body, "more_body": more})

    def disconnect(self) -> None:
        self._to_app[0].send_nowait({"type": "http.disconnect"})

    async def receive(self) -> Message:
        assert self.readers == 0, "receive() has two readers"
        self.readers += 1
        try:
            message = await self._to_app[1].receive()
        finally:
            self.readers -= 1
        self.reads += 1
        return message

    async def send(self, message: Message) -> None:
        await trio.lowlevel.checkpoint()
        if self.gate is not None and message.get("more_body"):
            await self.gate.wait()
        self.sent.append(message)

    async def run(self, app: App) -> Reply:
        path, _, query = self.target.partition("?")
        scope = {
            "type": "http",
            "http_version": self.http_version,
            "method": self.method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": list(self.headers),
        }
        await app(scope, self.receive, self.send)
        return self.reply()

    def reply(self) -> Reply:
        start: Message = self.sent[0] if self.sent else {"status": 0, "headers": []}
        bodies = [message for message in self.sent if message["type"] == "http.response.body"]
        return Reply(
            start["status"],
            dict(start["headers"]),
            b"".join(message.get("body", b"") for message in bodies),
            bool(bodies) and not bodies[-1].get("more_body", False),
            tuple(self.sent),
        )


async def call(
    app: App, method: str, target: str, body: Any = None, *, headers: tuple[tuple[bytes, bytes], ...] = WITH_KEY
) -> Reply:
    """A request with its whole body there; `body` is sent as it is when it is bytes, else as JSON."""
    if body is not None and not isinstance(body, bytes):
        body = msgspec.json.encode(body)
        headers = (*headers, (b"content-type", b"application/json"))
    if body is not None:
        headers = (*headers, (b"content-length", b"%d" % len(body)))
    exchange = Exchange(method, target, headers)
    exchange.feed(body or b"")
    return await exchange.run(app)


@asynccontextmanager
async def served(node: FakeNode | None = None) -> AsyncIterator[tuple[App, FakeNode]]:
    """An app over a fake node."""
    node = node or FakeNode()
    async with open_app(node) as app:
        yield app, node
