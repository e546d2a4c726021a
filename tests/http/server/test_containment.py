"""Inputs that end hypercorn's whole process. Here each may cost its own connection, and nothing else."""

from __future__ import annotations

from typing import Any

import h2.events
import pytest
import structlog
import trio

from tests.http.server.serving import (
    Served,
    answer,
    assert_alive,
    get,
    hello,
    http2,
    read_all,
    read_answer,
    serving,
    wait_disconnect,
    websocket_request,
)

pytestmark = pytest.mark.trio


async def refuse_early(scope: Any, receive: Any, send: Any) -> None:
    """413 ahead of the body for a POST; else as `hello`."""
    if scope["method"] == "POST":
        await answer(send, 413, b"too large")
    else:
        await hello(scope, receive, send)


async def open_sockets(scope: Any, receive: Any, send: Any) -> None:
    """Accepts every WebSocket and stays until it is gone; else as `hello`."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await wait_disconnect(receive)
    else:
        await hello(scope, receive, send)


async def exchange(served: Served, data: bytes) -> bytes:
    async with await served.connect() as stream:
        await stream.send_all(data)
        return await read_all(stream)


async def test_http2_data_after_an_early_answer_is_forgotten() -> None:
    async with serving(refuse_early) as served, http2(served) as client:
        head = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"x"), (b":path", b"/")]
        await client.request(1, head, end=False)
        assert await client.status(1) == 413
        await client.wait(h2.events.StreamEnded, 1)
        client.connection.send_data(1, b"x" * 1000)
        await client.flush()
        assert (await client.wait(h2.events.StreamReset, 1)).error_code == 0
        await client.request(3)
        assert await client.status(3) == 200
        await assert_alive(served)


async def test_http2_path_that_is_not_ascii_is_refused() -> None:
    async with serving(hello) as served, http2(served) as client:
        head = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"x"), (b":path", b"/\xff")]
        await client.request(1, head)
        assert await client.status(1) == 400
        await client.request(3)
        assert await client.status(3) == 200
        await assert_alive(served)


async def test_http2_connect_without_a_path_is_refused() -> None:
    async with serving(hello) as served, http2(served) as client:
        await client.request(1, [(b":method", b"CONNECT"), (b":authority", b"x:1")])
        assert await client.status(1) == 400
        await client.request(3)
        assert await client.status(3) == 200
        await assert_alive(served)


async def test_a_byte_behind_a_websocket_request_is_refused() -> None:
    async with serving(open_sockets) as served:
        with structlog.testing.capture_logs() as logs:
            received = await exchange(served, websocket_request() + b"x")
        # The app is at work already, and its answer comes too late to be an error.
        assert logs == []
        assert received.startswith(b"HTTP/1.1 400 ")
        assert b"application/problem+json" in received
        await assert_alive(served)


async def test_broken_websocket_extensions_are_ignored() -> None:
    async with serving(open_sockets) as served, await served.connect() as stream:
        offer = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=abc, \xff"
        await stream.send_all(websocket_request(offer))
        received = await stream.receive_some()
        assert received.startswith(b"HTTP/1.1 101 ")
        assert b"sec-websocket-extensions" not in received.lower()
        await assert_alive(served)


async def test_a_websocket_protocol_that_is_not_ascii_is_refused() -> None:
    async with serving(open_sockets) as served:
        received = await exchange(served, websocket_request("Sec-WebSocket-Protocol: \xff"))
        assert received.startswith(b"HTTP/1.1 400 ")
        await assert_alive(served)


async def test_websocket_data_after_the_closing_handshake_ends_only_that_connection() -> None:
    async with serving(open_sockets) as served, await served.connect() as stream:
        await stream.send_all(websocket_request())
        await stream.receive_some()
        close = b"\x88\x82\0\0\0\0\x03\xe8"
        await stream.send_all(close + b"\x81\x81\0\0\0\0x")
        await read_all(stream)
        await assert_alive(served)


async def test_an_app_that_accepts_a_protocol_nobody_offered_ends_only_that_connection() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept", "subprotocol": "unheard-of"})
        else:
            await hello(scope, receive, send)

    async with serving(app) as served:
        received = await exchange(served, websocket_request())
        assert received.startswith(b"HTTP/1.1 500 ")
        await assert_alive(served)


async def test_a_failure_nobody_foresaw_is_logged_and_leaves_the_other_connections_alone() -> None:
    go_on = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/bad":
            # Nobody asked for an upgrade: a state in which not even a 500 can be sent any more.
            await send({"type": "http.response.start", "status": 101, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        await go_on.wait()
        await hello(scope, receive, send)

    async with serving(app) as served, await served.connect() as other:
        await other.send_all(b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n")
        with structlog.testing.capture_logs() as logs:
            async with await served.connect() as stream:
                await stream.send_all(b"GET /bad HTTP/1.1\r\nHost: x\r\n\r\n")
                with pytest.raises(trio.BrokenResourceError):
                    await read_all(stream)
        assert "connection_failed" in [line["event"] for line in logs]
        go_on.set()
        assert (await read_answer(other)).body == b"/other"
        await assert_alive(served)


async def test_an_app_that_fails_before_it_answers_gives_500_and_keeps_the_connection() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/bad":
            raise RuntimeError("boom")
        await hello(scope, receive, send)

    async with serving(app) as served, await served.connect() as stream:
        await stream.send_all(b"GET /bad HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await read_answer(stream)).status == 500
        assert (await get(served)).status == 200
