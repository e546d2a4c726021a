"""Shutdown, and the clients that would hold it up: idle ones, slow apps, and readers that have stopped reading."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import trio

from tests.http.server.serving import (
    Served,
    answer,
    assert_alive,
    hello,
    http2,
    read_all,
    read_answer,
    serving,
    wait_disconnect,
)

pytestmark = pytest.mark.trio

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def pour(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})


async def wait_refusing(served: Served) -> None:
    with suppress(OSError):
        while True:
            await (await served.connect()).aclose()


async def test_idle_connections_do_not_hold_up_a_shutdown() -> None:
    async with (
        serving(hello, drain_seconds=60) as served,
        await served.connect() as fresh,
        await served.connect() as used,
        http2(served) as client,
    ):
        await used.send_all(REQUEST)
        await read_answer(used)
        await client.request(1)
        assert await client.status(1) == 200
        served.stop.set()
        await served.stopped.wait()
        assert await read_all(fresh) == b""
        assert await read_all(used) == b""


async def test_a_request_under_way_is_answered_and_its_connection_closed() -> None:
    begun, finish = trio.Event(), trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        await finish.wait()
        await answer(send, 200, b"done")

    async with serving(app, drain_seconds=60) as served, await served.connect() as stream:
        await stream.send_all(REQUEST)
        await begun.wait()
        served.stop.set()
        await wait_refusing(served)
        finish.set()
        reply = await read_answer(stream)
        assert (reply.body, reply.headers[b"connection"]) == (b"done", b"close")
        await served.stopped.wait()


async def test_an_app_that_outlasts_the_drain_is_cancelled() -> None:
    begun, cancelled = trio.Event(), trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            begun.set()
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled.set()
            raise

    async with serving(app, drain_seconds=0.2) as served, await served.connect() as stream:
        await stream.send_all(REQUEST)
        await begun.wait()
        served.stop.set()
        await served.stopped.wait()
        assert cancelled.is_set()


async def test_a_reader_that_has_stopped_does_not_outlast_the_drain() -> None:
    async with serving(pour, drain_seconds=0.2, stall_timeout=3600) as served, await served.connect() as stream:
        await stream.send_all(REQUEST)
        await stream.receive_some()
        served.stop.set()
        await served.stopped.wait()


async def test_a_reader_that_has_stopped_is_cut_off_after_the_stall_time_and_the_app_is_told() -> None:
    told = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/alive":
            await hello(scope, receive, send)
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pour, scope, receive, send)
            await wait_disconnect(receive)
            nursery.cancel_scope.cancel()
        told.set()

    async with serving(app, stall_timeout=0.3) as served, await served.connect() as stream:
        await stream.send_all(REQUEST)
        await stream.receive_some()
        await assert_alive(served)
        await told.wait()
        with pytest.raises(trio.BrokenResourceError):
            await read_all(stream)


async def test_a_client_that_never_speaks_tls_is_not_waited_for() -> None:
    async with serving(hello, drain_seconds=60) as served, await served.connect():
        served.stop.set()
        await served.stopped.wait()
