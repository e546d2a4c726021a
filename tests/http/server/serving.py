"""A listening server with a small app, and clients on plain sockets that can misbehave."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import h2.config
import h2.connection
import h2.events
import h11
import trio

import kuzu_node.http.server as node_server

App = Callable[[Any, Any, Any], Awaitable[None]]
PATIENCE = 20
DEFAULTS: dict[str, Any] = {
    "host": "127.0.0.1",
    "port": 0,
    "drain_seconds": 5,
    "stall_timeout": 5,
    "max_websocket_message": 65536,
    "max_header_size": 16384,
    "max_path_length": 4096,
}


@attrs.frozen
class Served:
    """`stop` begins the shutdown, `stopped` is set when the server has returned."""

    port: int
    stop: trio.Event
    stopped: trio.Event

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)


@asynccontextmanager
async def serving(app: App, **options: Any) -> AsyncIterator[Served]:
    """A server on a free port. The test fails when the server ends by itself."""
    stop, stopped = trio.Event(), trio.Event()

    async def run(*, task_status: trio.TaskStatus[list[tuple[str, int]]]) -> None:
        chosen = node_server.ServerOptions(**(DEFAULTS | options))
        await node_server.run_server(app, chosen, shutdown=stop.wait, task_status=task_status)
        assert stop.is_set(), "the server has ended by itself"
        stopped.set()

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            addresses = await nursery.start(run)
            yield Served(addresses[0][1], stop, stopped)
            nursery.cancel_scope.cancel()


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Answers every request with its path, after the whole body."""
    while (await receive()).get("more_body"):
        pass
    await answer(send, 200, scope["path"].encode())


async def answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@attrs.frozen
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes


async def read_answer(stream: trio.abc.ReceiveStream, method: str = "GET") -> Answer:
    """One HTTP/1.1 answer. Raises h11.RemoteProtocolError when it is cut short."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    head: h11.Response | None = None
    body = b""
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:
            client.receive_data(bytes(await stream.receive_some()))
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            return Answer(head.status_code, dict(head.headers), body)


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    received = b""
    async for data in stream:
        received += data
    return received


async def get(served: Served, path: str = "/alive") -> Answer:
    async with await served.connect() as stream:
        await stream.send_all(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        return await read_answer(stream)


async def assert_alive(served: Served) -> None:
    assert (await get(served)).status == 200


class Http2Client:
    """Speaks HTTP/2 with prior knowledge. `events` collects what the server has said, by stream."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.events: list[Any] = []
        config = h2.config.H2Configuration(client_side=True, validate_outbound_headers=False)
        self.connection = h2.connection.H2Connection(config=config)

    async def open(self) -> None:
        self.connection.initiate_connection()
        await self.flush()

    async def flush(self) -> None:
        await self.stream.send_all(self.connection.data_to_send())

    async def request(
        self, stream_id: int, headers: list[tuple[bytes, bytes]] | None = None, *, end: bool = True, path: str = "/"
    ) -> None:
        if headers is None:
            headers = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"x"), (b":path", path.encode())]
        self.connection.send_headers(stream_id, headers, end_stream=end)
        await self.flush()

    async def receive(self) -> bool:
        """Takes what has arrived; false at the end of the connection."""
        data = await self.stream.receive_some()
        self.events += self.connection.receive_data(data) if data else []
        return bool(data)

    async def wait(self, kind: type[Any], stream_id: int | None = None) -> Any:
        """The first such event; the client goes on reading until there is one."""
        while True:
            for event in self.events:
                if isinstance(event, kind) and stream_id in (None, getattr(event, "stream_id", None)):
                    return event
            assert await self.receive(), f"the connection has ended without {kind.__name__}"

    async def status(self, stream_id: int) -> int:
        event = await self.wait(h2.events.ResponseReceived, stream_id)
        return int(dict(event.headers)[b":status"])

    def body(self, stream_id: int) -> bytes:
        received = [e for e in self.events if isinstance(e, h2.events.DataReceived) and e.stream_id == stream_id]
        return b"".join(e.data for e in received)


@asynccontextmanager
async def http2(served: Served) -> AsyncIterator[Http2Client]:
    async with await served.connect() as stream:
        client = Http2Client(stream)
        await client.open()
        yield client


def websocket_request(*lines: str) -> bytes:
    head = (
        "GET /socket HTTP/1.1",
        "Host: x",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *lines,
    )
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n"


async def wait_disconnect(receive: Any) -> None:
    while not (await receive())["type"].endswith(".disconnect"):
        pass
