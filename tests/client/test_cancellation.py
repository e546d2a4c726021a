"""Calls that are cancelled at each of their steps: nothing is held behind them, and the pool goes on."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio.lowlevel
import attrs
import pytest
import trio
import trustme

from kuzu_client._async.caller import AsyncCaller
from kuzu_client._async.stack import AsyncStackTransport
from kuzu_client._core.breaker import BreakerState
from kuzu_client._core.calls import Body, Call
from tests.client.calls import KEYED, READ, WRITE
from tests.client.scripted import ScriptedServer, answer, answers, chunked, head, problem, says, scripted
from tests.engine.cancelling import cancel_at

pytestmark = pytest.mark.trio

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
    async with trio.open_nursery() as nursery:
        nursery.start_soon(caller.call, READ)
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
    with trio.fail_after(60):
        while not ended:
            step += 1
            assert step < 500
            with scripted(tls=tls) as server:
                async with AsyncCaller(server.url, **settings) as caller:
                    ended = await cancel_at(lambda c=caller, s=server: operation(c, s), step)  # type: ignore[misc]
                    assert len(stack_of(caller)._open) == len(stack_of(caller)._idle)
                    server.script.clear()
                    assert await caller.call(WRITE) == {"ok": True}
                    assert caller._breaker.state is BreakerState.CLOSED
    assert step > 3


async def test_a_cancelled_upload_closes_its_source_and_is_not_taken_for_whole() -> None:
    closed = trio.Event()
    token = trio.lowlevel.current_trio_token()
    under_way = trio.Event()

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 100_000
                token.run_sync_soon(under_way.set)
        finally:
            token.run_sync_soon(closed.set)

    with trio.fail_after(20), scripted() as server:
        async with AsyncCaller(server.url, timeout=20.0) as caller, trio.open_nursery() as nursery:
            nursery.start_soon(caller.call, attrs.evolve(WRITE, body=Body("text/csv", pieces=endless)))
            await under_way.wait()
            nursery.cancel_scope.cancel()
        await closed.wait()
    assert server.received == []


async def test_a_cancelled_call_is_not_counted_as_a_failure() -> None:
    with trio.fail_after(20), scripted(says(b"")) as server:
        async with AsyncCaller(server.url, timeout=20.0, circuit_breaker_threshold=1) as caller:
            with trio.move_on_after(0.05) as scope:
                await caller.call(READ)
            assert scope.cancelled_caught
            assert caller._breaker.failures == 0
            server.then(says(answer(200, b"{}", {"Content-Type": "application/json"})))
            assert await caller.call(READ) == {}
