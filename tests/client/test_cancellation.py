"""Calls that are cancelled at each of their steps: nothing is held behind them, and the pool goes on."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import attrs
import pytest
import trustme

from kuzu_client._async.caller import AsyncCaller
from kuzu_client._async.stack import AsyncStackTransport
from kuzu_client._core.breaker import BreakerState
from kuzu_client._core.calls import Body, Call
from tests.client.calls import KEYED, READ, WRITE
from tests.client.scripted import ScriptedServer, answers, chunked, head, problem, says, scripted, stalls
from tests.client.steps import cancel_at

pytestmark = pytest.mark.anyio

STREAM = Call(operation="stream", method="GET", path="/stream", accept="application/x-ndjson")
STREAMED = head(200, {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"})
PIECES = [b"x" * 70_000 for _ in range(6)]


async def call(caller: AsyncCaller, server: ScriptedServer) -> None:
    await caller.call(READ)


async def call_with_key(caller: AsyncCaller, server: ScriptedServer) -> None:
    server.then(answers({"features": ["idempotency"]}))
    await caller.call(KEYED)


async def call_again(caller: AsyncCaller, server: ScriptedServer) -> None:
    server.then(problem(503, "admission", committed=False))
    await caller.call(WRITE)


async def stream(caller: AsyncCaller, server: ScriptedServer) -> None:
    server.then(says(STREAMED + chunked([b"a\n"] * 5) + b"0\r\n\r\n"))
    async with caller.open_stream(STREAM) as opened:
        async for _ in opened.pieces():
            await anyio.lowlevel.checkpoint()


async def stream_in_part(caller: AsyncCaller, server: ScriptedServer) -> None:
    server.then(says(STREAMED + chunked(PIECES) + b"0\r\n\r\n"))
    async with caller.open_stream(STREAM) as opened:
        async for _ in opened.pieces():
            break


async def upload(caller: AsyncCaller, server: ScriptedServer) -> None:
    await caller.call(attrs.evolve(WRITE, body=Body("text/csv", pieces=lambda: iter(PIECES))))


async def probe(caller: AsyncCaller, server: ScriptedServer) -> None:
    """Of a breaker that has been open for long enough."""
    caller._breaker.state, caller._breaker._open_until = BreakerState.OPEN, 0.0
    await caller.call(READ)


async def call_behind_another(caller: AsyncCaller, server: ScriptedServer) -> None:
    """Of the two one waits for the connection."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(caller.call, READ)
        await caller.call(WRITE)


async def call_on_a_stale_connection(caller: AsyncCaller, server: ScriptedServer) -> None:
    await caller.call(READ)
    stack_of(caller)._idle[0].expires = 0.0
    await caller.call(READ)


OPERATIONS: list[Callable[[AsyncCaller, ScriptedServer], Awaitable[None]]] = [
    call,
    call_with_key,
    call_again,
    stream,
    stream_in_part,
    upload,
    probe,
    call_behind_another,
    call_on_a_stale_connection,
]


def stack_of(caller: AsyncCaller) -> AsyncStackTransport:
    assert isinstance(caller._transport, AsyncStackTransport)
    return caller._transport


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
async def test_wherever_it_is_cancelled_the_one_connection_is_free(
    operation: Callable[[AsyncCaller, ScriptedServer], Awaitable[None]],
) -> None:
    await cancel_everywhere(operation, None)


async def test_wherever_a_handshake_is_cancelled_the_one_connection_is_free() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    await cancel_everywhere(call, context)


async def cancel_everywhere(
    operation: Callable[[AsyncCaller, ScriptedServer], Awaitable[None]], tls: ssl.SSLContext | None
) -> None:
    ended, step = False, 0
    settings: dict[str, Any] = {"retry_delay": 0.0, "timeout": 20.0, "max_connections": 1, "verify_ssl": False}
    with anyio.fail_after(60):
        while not ended:
            step += 1
            assert step < 500
            with scripted(tls=tls) as server:
                async with AsyncCaller(server.url, **settings) as caller:
                    ended = await cancel_at(operation(caller, server), step)
                    assert len(stack_of(caller)._open) == len(stack_of(caller)._idle)
                    server.script.clear()
                    assert await caller.call(WRITE) == {"ok": True}
                    assert caller._breaker.state is BreakerState.CLOSED
    assert step > 3


async def test_a_cancelled_upload_closes_its_source_and_is_not_taken_for_whole() -> None:
    under_way, closed = threading.Event(), threading.Event()

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 100_000
                under_way.set()
        finally:
            closed.set()

    with anyio.fail_after(20), scripted() as server:
        async with AsyncCaller(server.url, timeout=20.0) as caller, anyio.create_task_group() as tasks:
            tasks.start_soon(caller.call, attrs.evolve(WRITE, body=Body("text/csv", pieces=endless)))
            await anyio.to_thread.run_sync(under_way.wait, 20)
            tasks.cancel_scope.cancel()
        assert under_way.is_set()
        assert closed.is_set()
    assert server.received == []


async def test_a_cancelled_call_is_not_counted_as_a_failure() -> None:
    with anyio.fail_after(20), scripted(stalls()) as server:
        async with AsyncCaller(server.url, timeout=20.0, circuit_breaker_threshold=1) as caller:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(caller.call, READ)
                await anyio.to_thread.run_sync(server.stalled.wait, 20)
                tasks.cancel_scope.cancel()
            assert server.stalled.is_set()
            assert caller._breaker.failures == 0
            assert await caller.call(READ) == {"ok": True}
