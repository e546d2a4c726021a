"""A node behind a real server, and clients that speak the messages of sessions to it by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import trio
from trio_websocket import CloseReason, ConnectionClosed, WebSocketConnection, wrap_client_stream

from kuzu_node.config import load
from kuzu_node.engine.values import DatabaseSpec
from kuzu_node.http.app import open_app
from kuzu_node.node import Node, open_node
from kuzu_node.serve import options
from tests.http.server.serving import Served, serving, websocket_request

KEY = "a-key-of-some-length"
PEOPLE = "CREATE NODE TABLE P(id INT64, name STRING, PRIMARY KEY(id));"
SETTINGS = {
    "KUZU_PORT": "0",
    "KUZU_API_KEY": KEY,
    "KUZU_MEMORY_PER_DB_MB": "512",
    "KUZU_MAX_DB_SIZE_GB": "4",
    "KUZU_ADMISSION_MEMORY_THRESHOLD": "100",
    # A process more for each node, which most tests have no use for.
    "KUZU_SPARE_WORKER": "false",
}
# The engine stops it within 60 ms of an interrupt.
FOREVER = "UNWIND range(1, 100000) AS a UNWIND range(1, 1000) AS b UNWIND range(1, 1000) AS c RETURN sum(a + b * c)"
LONG = "UNWIND range(1, 1500000) AS x RETURN x, 'some text that fills the row' AS z"


@attrs.define(eq=False)
class Client:
    """The client's end of one session."""

    socket: WebSocketConnection
    stream: trio.SocketStream
    ids: int = 0

    @staticmethod
    def encode(kind: str, message_id: object, **fields: Any) -> str:
        return json.dumps({"type": kind, "id": message_id, **fields})

    async def say(self, kind: str, **fields: Any) -> int:
        """Sends a message; its id."""
        self.ids += 1
        await self.socket.send_message(self.encode(kind, self.ids, **fields))
        return self.ids

    async def hear(self) -> Any:
        """The next message."""
        message = await self.socket.get_message()
        return message if isinstance(message, bytes) else json.loads(message)

    async def ask(self, kind: str, **fields: Any) -> Any:
        """One message, and the last of its answers."""
        order = await self.say(kind, **fields)
        while (answer := await self.hear())["type"] in ("columns", "rows"):
            if answer.get("binary"):
                await self.hear()
        assert answer["id"] == order, answer
        return answer

    async def query(self, cypher: str, **fields: Any) -> Any:
        return await self.ask("query", cypher=cypher, **fields)

    async def value(self, cypher: str, **fields: Any) -> Any:
        """Of a query with one row of one column."""
        answer = await self.query(cypher, **fields)
        assert answer["type"] == "result", answer
        [row] = answer["rows"]
        [value] = row.values()
        return value

    async def closed(self) -> CloseReason:
        """Reads to the end; how the node has closed."""
        with suppress(ConnectionClosed):
            while True:
                await self.socket.get_message()
        reason = self.socket.closed
        assert reason is not None
        return reason


@attrs.define(eq=False)
class Running:
    """A node with one database `g` of people."""

    node: Node
    served: Served

    @asynccontextmanager
    async def client(self, path: str = "/databases/g/session", *, key: str = KEY) -> AsyncIterator[Client]:
        headers = [(b"x-kuzu-api-key", key.encode())] if key else []
        async with await self.served.connect() as stream, trio.open_nursery() as nursery:
            socket = await wrap_client_stream(
                nursery,
                stream,
                "x",
                path,
                subprotocols=["kuzu.v1"],
                extra_headers=headers,
                max_message_size=64 << 20,
            )
            yield Client(socket, stream)
            await trio.aclose_forcefully(stream)
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def running(base_path: Path, **settings: str) -> AsyncIterator[Running]:
    """The node is left as the block leaves it: draining or not."""
    config = load({"KUZU_DATABASE_PATH": str(base_path), **SETTINGS, **settings})
    async with (
        open_node(config) as node,
        open_app(node) as app,
        serving(app, **attrs.asdict(options(config))) as served,
    ):
        await node.databases.create(DatabaseSpec(graph_id="g", schema_type="custom", ddl=(PEOPLE,)))
        yield Running(node, served)


def upgrade(*lines: str, path: bytes = b"/databases/g/session", protocol: str = "kuzu.v1") -> bytes:
    """The head of a request for a session."""
    request = websocket_request(f"Sec-WebSocket-Protocol: {protocol}", f"X-Kuzu-API-Key: {KEY}", *lines)
    return request.replace(b"/socket", path)


def masked(text: str) -> bytes:
    """A short text message as a client sends it."""
    data = text.encode()
    assert len(data) < 126
    return bytes((0x81, 0x80 | len(data))) + b"\0\0\0\0" + data
