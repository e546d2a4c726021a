"""WebSockets over HTTP/1.1, from the handshake to the last word."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import wsproto
import wsproto.events

from tests.http.server.serving import Served, assert_alive, hello, read_all, read_answer, serving, websocket_request

pytestmark = pytest.mark.trio


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Echoes until the client is gone; `/refuse` is answered by HTTP, `/close` closed before it is open."""
    if scope["type"] != "websocket":
        await hello(scope, receive, send)
        return
    assert (await receive())["type"] == "websocket.connect"
    if scope["query_string"] == b"refuse":
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"who are you?"})
        return
    if scope["query_string"] == b"close":
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


class Client:
    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.connection = wsproto.connection.Connection(wsproto.ConnectionType.CLIENT)

    async def send(self, event: Any) -> None:
        await self.stream.send_all(self.connection.send(event))

    async def receive(self) -> Any:
        while True:
            for event in self.connection.events():
                return event
            self.connection.receive_data(await self.stream.receive_some())


@asynccontextmanager
async def open_client(served: Served) -> AsyncIterator[Client]:
    async with await served.connect() as stream:
        await stream.send_all(websocket_request())
        received = b""
        while b"\r\n\r\n" not in received:
            received += await stream.receive_some()
        assert received.startswith(b"HTTP/1.1 101 ")
        yield Client(stream)


async def test_messages_go_both_ways() -> None:
    async with serving(echo) as served, open_client(served) as client:
        for text in ("one", "two" * 20000):
            await client.send(wsproto.events.TextMessage(data=text))
            back = ""
            while len(back) < len(text):
                back += (await client.receive()).data
            assert back == text
        await client.send(wsproto.events.CloseConnection(code=1000))
        assert isinstance(await client.receive(), wsproto.events.CloseConnection)
        assert await read_all(client.stream) == b""


async def test_an_app_can_refuse_with_an_answer_of_its_own() -> None:
    async with serving(echo) as served, await served.connect() as stream:
        await stream.send_all(websocket_request().replace(b"/socket", b"/socket?refuse"))
        reply = await read_answer(stream)
        assert (reply.status, reply.body) == (401, b"who are you?")
        assert await read_all(stream) == b""


async def test_closing_before_accepting_is_403() -> None:
    async with serving(echo) as served, await served.connect() as stream:
        await stream.send_all(websocket_request().replace(b"/socket", b"/socket?close"))
        assert (await read_answer(stream)).status == 403
        assert await read_all(stream) == b""


@pytest.mark.parametrize(
    "header", [b"Sec-WebSocket-Version: 13\r\n", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"]
)
async def test_an_incomplete_handshake_is_refused_and_its_connection_ends(header: bytes) -> None:
    async with serving(echo, drain_seconds=60) as served, await served.connect() as stream:
        await stream.send_all(websocket_request().replace(header, b""))
        assert (await read_answer(stream)).status == 400
        assert await read_all(stream) == b""


async def test_a_message_that_is_too_long_ends_the_connection_with_1009() -> None:
    async with serving(echo, max_websocket_message=1000) as served, open_client(served) as client:
        for _ in range(3):
            await client.send(wsproto.events.TextMessage(data="x" * 600, message_finished=False))
        closing = await client.receive()
        assert isinstance(closing, wsproto.events.CloseConnection)
        assert closing.code == 1009
        assert await read_all(client.stream) == b""
        await assert_alive(served)


async def test_an_app_learns_that_its_client_is_gone_even_with_messages_unread() -> None:
    leave, code = trio.Event(), 0
    done = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal code
        await receive()
        await send({"type": "websocket.accept"})
        await leave.wait()
        while (message := await receive())["type"] == "websocket.receive":
            pass
        code = message["code"]
        done.set()

    async with serving(app) as served:
        async with open_client(served) as client:
            for _ in range(100):
                await client.send(wsproto.events.TextMessage(data="x"))
        leave.set()
        await done.wait()
        assert code == 1006
