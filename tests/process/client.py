"""A keep-alive HTTP/1.1 client on Trio, and the few calls of the interface that these tests need."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import h11
import msgspec
import trio

from tests.process.nodes import NodeProcess

KIB64 = 64 * 1024
PERSON = "CREATE NODE TABLE P(id INT64, s STRING, PRIMARY KEY(id))"
JSON = {"content-type": "application/json"}


class ConnectionLost(Exception):
    """The node has closed the connection before the answer was complete."""


@attrs.frozen
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@attrs.define(eq=False)
class NodeClient:
    """One connection. `begin` and `receive` take an answer apart; `call` is all of it."""

    stream: trio.SocketStream
    database: str = "g"
    headers: dict[str, str] = attrs.field(factory=dict)
    _http: h11.Connection = attrs.field(factory=lambda: h11.Connection(h11.CLIENT))

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        content = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        await self.begin(method, path, {"content-length": str(len(content)), **headers})
        await self.send(content)
        return await self.finish()

    async def begin(self, method: str, path: str, headers: dict[str, str]) -> None:
        """Sends the head of a request."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        if self._http.our_state is not h11.IDLE:
            raise ConnectionLost
        every = [("host", "x"), *self.headers.items(), *headers.items()]
        names = [(name.replace("_", "-"), value) for name, value in every]
        await self._send(h11.Request(method=method, target=path, headers=names))

    async def send(self, data: bytes) -> None:
        """A part of the body."""
        await self._send(h11.Data(data=data))

    async def finish(self) -> Reply:
        """Ends the request and takes the whole answer."""
        status, headers = await self.answered()
        return Reply(status, headers, await self.rest())

    async def answered(self) -> tuple[int, dict[str, str]]:
        """Ends the request and takes the head of the answer."""
        await self._send(h11.EndOfMessage())
        return await self.head()

    async def head(self) -> tuple[int, dict[str, str]]:
        event = await self._event()
        assert isinstance(event, h11.Response)
        return event.status_code, {name.decode(): value.decode() for name, value in event.headers}

    async def rest(self) -> bytes:
        """What is left of the body."""
        body = bytearray()
        while part := await self.receive():
            body += part
        return bytes(body)

    async def receive(self) -> bytes:
        """The next part of the body, b"" at its end."""
        event = await self._event()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def _send(self, event: Any) -> None:
        data = self._http.send(event)
        try:
            await self.stream.send_all(data or b"")
        except trio.BrokenResourceError as error:
            raise ConnectionLost from error

    async def _event(self) -> Any:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(bytes(await self.stream.receive_some(KIB64)))
        except (trio.BrokenResourceError, h11.RemoteProtocolError) as error:
            raise ConnectionLost from error
        if isinstance(event, h11.ConnectionClosed):
            raise ConnectionLost
        return event

    async def create(self, ddl: str = PERSON) -> None:
        body = {"graph_id": self.database, "schema_type": "custom", "custom_schema_ddl": ddl}
        reply = await self.call("POST", "/databases", body, **JSON)
        assert reply.status == 201, reply

    async def query(self, cypher: str, *, limit: float | None = None, accept: str = "*/*", **parameters: Any) -> Reply:
        body = query_body(cypher, limit=limit, **parameters)
        return await self.call("POST", f"/databases/{self.database}/query", body, accept=accept)

    async def rows(self, cypher: str, **parameters: Any) -> list[list[Any]]:
        """The values of a query that has to succeed."""
        reply = await self.query(cypher, **parameters)
        assert reply.status == 200, reply
        return [list(row.values()) for row in reply.json["data"]]

    async def value(self, cypher: str, **parameters: Any) -> Any:
        [[only]] = await self.rows(cypher, **parameters)
        return only

    async def start_query(self, cypher: str, *, accept: str = "application/x-ndjson") -> None:
        """Sends the query, and does not look at the answer."""
        content = msgspec.json.encode(query_body(cypher))
        headers = {"content-length": str(len(content)), "accept": accept}
        await self.begin("POST", f"/databases/{self.database}/query", headers)
        await self.send(content)
        await self._send(h11.EndOfMessage())

    async def transaction(self, *statements: dict[str, Any]) -> Reply:
        return await self.call("POST", f"/databases/{self.database}/transaction", {"statements": statements})

    async def load(self, table: str, content: bytes, content_type: str = "text/csv") -> Reply:
        path = f"/databases/{self.database}/tables/{table}/rows"
        return await self.call("PUT", path, content, content_type=content_type)


def query_body(cypher: str, *, limit: float | None = None, **parameters: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"cypher": cypher, "parameters": parameters}
    return body if limit is None else {**body, "timeout": limit}


@asynccontextmanager
async def connected(node: NodeProcess, database: str = "g", **headers: str) -> AsyncIterator[NodeClient]:
    async with await node.connect() as stream:
        yield NodeClient(stream, database, headers)


async def ask(node: NodeProcess, method: str, path: str, body: Any = None, **headers: str) -> Reply:
    """One call on a connection of its own."""
    async with connected(node) as client:
        return await client.call(method, path, body, **headers)


async def healthy(node: NodeProcess) -> bool:
    return (await ask(node, "GET", "/health")).status == 200
