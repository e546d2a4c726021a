"""What a client keeps between calls: its connections, its breaker, its observers."""

from __future__ import annotations

import attrs
import pytest

from kuzu_client._async.caller import AsyncCaller
from kuzu_client._core.observers import Event
from kuzu_client.errors import KuzuClientError, KuzuServerError, KuzuTransientError, ServiceUnavailableError
from kuzu_client.observers import CountingObserver
from tests.client.calls import QUICK, READ, WRITE, Events
from tests.client.scripted import PATIENCE, answer, breaks_off, problem, scripted

pytestmark = pytest.mark.anyio

ONCE = {**QUICK, "max_retries": 0}


async def test_calls_share_a_connection() -> None:
    events = Events()
    with scripted() as server:
        async with AsyncCaller(server.url, observers=[events], **QUICK) as caller:
            for _ in range(3):
                await caller.call(READ)
    assert server.connections == 1
    assert [attempt.reused for attempt in events.attempts] == [False, True, True]


async def test_a_client_is_usable_without_a_block_and_after_it_was_closed() -> None:
    with scripted() as server:
        caller = AsyncCaller(server.url, **QUICK)
        assert await caller.call(READ) == {"ok": True}
        await caller.aclose()
        await caller.aclose()
        assert await caller.call(READ) == {"ok": True}
        async with caller:
            assert await caller.call(READ) == {"ok": True}
        async with caller:
            assert await caller.call(READ) == {"ok": True}
    assert server.connections == 3


async def test_the_last_of_several_blocks_closes() -> None:
    with scripted() as server:
        caller = AsyncCaller(server.url, **QUICK)
        async with caller:
            async with caller:
                await caller.call(READ)
            await caller.call(READ)
    assert server.connections == 1


async def test_a_connection_that_the_node_has_closed_meanwhile_is_not_used() -> None:
    closes = breaks_off(answer(200, b"{}", {"Content-Type": "application/json"}))
    with scripted(closes) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            await caller.call(WRITE)
            assert server.stalled.wait(PATIENCE)
            await caller.call(WRITE)
    assert server.connections == 2


async def test_failures_in_a_row_open_the_breaker_and_then_nothing_is_sent() -> None:
    events = Events()
    with scripted(otherwise=problem(500, "internal")) as server:
        async with AsyncCaller(server.url, observers=[events], **ONCE, circuit_breaker_threshold=3) as caller:
            for _ in range(3):
                with pytest.raises(KuzuServerError):
                    await caller.call(READ)
            with pytest.raises(ServiceUnavailableError) as caught:
                await caller.call(WRITE)
    assert len(server.received) == 3
    assert caught.value.committed is False
    assert caught.value.retry_after == pytest.approx(60, abs=15)
    assert events.changes == [("closed", "open")]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 413, 422, 429])
async def test_refusals_never_open_the_breaker(status: int) -> None:
    with scripted(otherwise=problem(status, "whatever")) as server:
        async with AsyncCaller(server.url, **ONCE, circuit_breaker_threshold=1) as caller:
            for _ in range(3):
                with pytest.raises(Exception, match="said whatever"):
                    await caller.call(WRITE)
    assert len(server.received) == 3


async def test_a_broken_database_does_not_keep_the_others_from_being_asked() -> None:
    with scripted(otherwise=problem(503, "database_failed", committed=False)) as server:
        async with AsyncCaller(server.url, **ONCE, circuit_breaker_threshold=1) as caller:
            for _ in range(3):
                with pytest.raises(KuzuTransientError, match="database_failed"):
                    await caller.call(WRITE)
    assert len(server.received) == 3


async def test_a_breaker_that_is_switched_off_stays_closed() -> None:
    with scripted(otherwise=problem(500, "internal")) as server:
        async with AsyncCaller(server.url, **ONCE, circuit_breakers_enabled=False) as caller:
            for _ in range(10):
                with pytest.raises(KuzuServerError):
                    await caller.call(READ)
    assert len(server.received) == 10


async def test_an_observer_that_fails_touches_neither_the_call_nor_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(event: Event) -> None:
        raise ZeroDivisionError

    events = Events()
    with scripted(problem(503, "admission", committed=False)) as server:
        async with AsyncCaller(server.url, observers=[fails, events], **QUICK) as caller:
            assert await caller.call(READ) == {"ok": True}
    assert [type(event).__name__ for event in events.heard] == ["Attempted", "Waits", "Attempted"]
    assert [record.name for record in caplog.records if record.levelname == "ERROR"] == ["kuzu_client"] * 3


async def test_what_is_counted_adds_up() -> None:
    counting = CountingObserver()
    with scripted(problem(503, "admission", committed=False), problem(404, "unknown_database")) as server:
        async with AsyncCaller(server.url, observers=[counting], **QUICK) as caller:
            with pytest.raises(KuzuClientError):
                await caller.call(READ)
            await caller.call(attrs.evolve(WRITE, operation="other"))
    found = counting.statistics()
    assert {name: (one.count, one.errors) for name, one in found.operations.items()} == {
        "read": (2, 2),
        "other": (1, 0),
    }
    assert (found.retries, found.connections_opened, found.connections_reused) == (1, 1, 2)
    assert found.operations["read"].total >= found.operations["read"].longest > 0
