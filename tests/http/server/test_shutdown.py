"""Shutdown, and the clients that would hold it up: idle ones, slow apps, and readers that have stopped reading."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.trio.worker_context import WorkerContext

from kuzu_node.http.hypercorn_fixes import Connection, ServerConfig
from tests.http.server.serving import (
    PATIENCE,
    Served,
    answer,
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
        await trio.testing.wait_all_tasks_blocked(0.5)  # the app is in a write that cannot end
        served.stop.set()
        await served.stopped.wait()


async def pour_until_told(scope: Any, receive: Any, send: Any) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pour, scope, receive, send)
        await wait_disconnect(receive)
        nursery.cancel_scope.cancel()


async def test_a_reader_that_has_stopped_is_cut_off_after_the_stall_time_and_the_app_is_told() -> None:
    told = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await pour_until_told(scope, receive, send)
        told.set()

    async with serving(app, stall_timeout=0.3) as served, await served.connect() as stream:
        await stream.send_all(REQUEST)
        await stream.receive_some()
        await told.wait()
        with pytest.raises(trio.BrokenResourceError):
            await read_all(stream)


async def test_a_write_is_bounded_even_where_the_kernel_waits() -> None:
    # Not through `serving`: its sockets have TCP_USER_TIMEOUT, with which newer kernels cut the reader off themselves.
    config = ServerConfig()
    config.stall_timeout = 0.3
    told = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await pour_until_told(scope, receive, send)
        told.set()

    async def serve(stream: trio.SocketStream) -> None:
        await Connection(ASGIWrapper(app), config, WorkerContext(None), stream).run()

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
            async with await trio.testing.open_stream_to_socket_listener(listeners[0]) as stream:
                await stream.send_all(REQUEST)
                await stream.receive_some()
                await told.wait()
                with pytest.raises(trio.BrokenResourceError):
                    await read_all(stream)
            nursery.cancel_scope.cancel()
