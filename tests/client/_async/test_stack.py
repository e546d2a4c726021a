"""The stack of connections: what is used again, what is closed, and what goes over the wire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from kuzu_client._async.caller import AsyncCaller
from kuzu_client._async.stack import AsyncStackTransport
from kuzu_client._core.calls import Body, Call
from kuzu_client._core.wire import JOINED_BYTES
from kuzu_client.errors import KuzuAPIError, KuzuClientError, KuzuTimeoutError, KuzuTransientError
from tests.client.calls import QUICK, READ, SOON, WRITE, Events
from tests.client.scripted import Talk, answer, answers, breaks_off, chunked, head, says, scripted, stalls

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}
STREAM = Call(operation="stream", method="GET", path="/stream", accept="application/x-ndjson")
STREAMED = head(200, {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"})
WHOLE = STREAMED + chunked([b"a\n"]) + b"0\r\n\r\n"


def stack_of(caller: AsyncCaller) -> AsyncStackTransport:
    assert isinstance(caller._transport, AsyncStackTransport)
    return caller._transport


async def test_without_a_time_to_live_each_call_has_a_connection_of_its_own() -> None:
    events = Events()
    with scripted() as server:
        async with AsyncCaller(server.url, observers=[events], **QUICK, keepalive_expiry=0.0) as caller:
            for _ in range(3):
                await caller.call(READ)
            assert not stack_of(caller)._open
    assert server.connections == 3
    assert [attempt.reused for attempt in events.attempts] == [False] * 3


async def test_what_has_expired_below_is_closed_with_the_next_call() -> None:
    """The one on top is used and the others never are."""
    with scripted(otherwise=says(WHOLE)) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            stack = stack_of(caller)
            async with caller.open_stream(STREAM), caller.open_stream(STREAM), caller.open_stream(STREAM) as third:
                assert await third.read() == b"a\n"
            # Two were left unread, so only one may be used again.
            assert len(stack._open) == len(stack._idle) == 1
            stack._idle[0].expires = 0.0
            async with caller.open_stream(STREAM) as stream:
                assert not stack._idle
                await stream.read()
            assert len(stack._open) == len(stack._idle) == 1
    assert server.connections == 4


async def test_no_more_are_kept_than_the_settings_say() -> None:
    with scripted(otherwise=says(WHOLE)) as server:
        async with AsyncCaller(server.url, **QUICK, max_keepalive_connections=2) as caller:
            stack = stack_of(caller)
            async with (
                caller.open_stream(STREAM) as a,
                caller.open_stream(STREAM) as b,
                caller.open_stream(STREAM) as c,
            ):
                for stream in (a, b, c):
                    assert await stream.read() == b"a\n"
                assert (len(stack._open), len(stack._idle)) == (3, 0)
            assert (len(stack._open), len(stack._idle)) == (2, 2)
            await caller.aclose()
            assert (len(stack._open), len(stack._idle)) == (0, 0)
    assert server.connections == 3


async def test_a_call_that_gets_no_connection_in_time_has_not_been_sent_and_does_not_count() -> None:
    with scripted(otherwise=says(WHOLE)) as server:
        limits: dict[str, Any] = {"max_connections": 1, "circuit_breaker_threshold": 1, "max_retries": 0}
        async with AsyncCaller(server.url, **QUICK, **limits) as caller:
            async with caller.open_stream(STREAM):
                with pytest.raises(KuzuTimeoutError, match="no connection of the pool") as caught:
                    await caller.call(attrs.evolve(WRITE, timeout=SOON))
            server.then(answers({"ok": True}))
            assert await caller.call(WRITE) == {"ok": True}
    assert caught.value.committed is False
    assert [request.target for request in server.received] == ["/stream", "/write"]


async def test_a_connection_with_more_than_the_answer_is_not_used_again() -> None:
    """The rest would be the answer to another call."""
    stray = answer(200, b'"not mine"', JSON)
    with scripted(says(answer(200, b'"mine"', JSON) + stray)) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            assert await caller.call(READ) == "mine"
            assert await caller.call(READ) == {"ok": True}
    assert server.connections == 2


async def test_a_connection_that_the_node_wants_closed_is_closed() -> None:
    with scripted(says(answer(200, b"{}", {**JSON, "Connection": "close"}))) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            assert await caller.call(READ) == {}
            assert not stack_of(caller)._open


async def test_an_answer_that_ends_with_its_connection_is_whole() -> None:
    with scripted(breaks_off(head(200, JSON) + b'"to the end"')) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            assert await caller.call(READ) == "to the end"
            assert await caller.call(READ) == {"ok": True}


async def test_news_before_the_answer_is_passed_over() -> None:
    early = head(103, {"Link": "</x>"}) + head(100, {})
    with scripted(says(early + answer(200, b'"late"', JSON))) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            assert await caller.call(WRITE) == "late"
            assert await caller.call(READ) == {"ok": True}
    assert server.connections == 1


async def test_a_small_body_leaves_with_its_head() -> None:
    seen: list[bytes] = []

    def first_segment(talk: Talk) -> None:
        seen.append(talk.buffer)
        talk.read_request()
        talk.send(answer(200, b"{}", JSON))

    body = b'{"cypher": "RETURN 1"}'
    with scripted(first_segment) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            await caller.call(attrs.evolve(WRITE, body=Body("application/json", body)))
    assert seen[0].endswith(b"\r\n\r\n" + body)


@pytest.mark.parametrize("size", [0, 1, JOINED_BYTES, JOINED_BYTES + 1, 3_000_000])
async def test_bodies_of_any_size_arrive(size: int) -> None:
    body = b"x" * size
    with scripted() as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            for _ in range(2):
                await caller.call(attrs.evolve(WRITE, body=Body("text/csv", body)))
    assert [request.body for request in server.received] == [body, body]
    assert server.connections == 1


def refuses_early(talk: Talk) -> None:
    """As a node that has seen enough at the head."""
    while b"\r\n\r\n" not in talk.buffer:
        talk.more()
    talk.send(answer(413, b"", {"Connection": "close"}))
    talk.sock.shutdown(1)
    while talk.sock.recv(1 << 20):
        pass
    talk.sock.close()


def endless() -> Iterator[bytes]:
    for _ in range(200):
        yield b"x" * 100_000


async def test_a_refusal_before_the_end_of_a_body_is_heard() -> None:
    with scripted(refuses_early) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            with pytest.raises(KuzuAPIError) as caught:
                await caller.call(attrs.evolve(WRITE, body=Body("text/csv", pieces=endless)))
            assert not stack_of(caller)._open
    assert caught.value.status_code == 413


@pytest.mark.parametrize("length", [1, 5])
async def test_a_body_of_another_length_than_was_told_has_an_unknown_outcome(length: int) -> None:
    """What was told may have arrived whole, so that the node goes on with it."""
    with scripted() as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            body = Body("text/csv", pieces=lambda: iter([b"a", b"b"]), length=length)
            with pytest.raises(KuzuTransientError) as caught:
                await caller.call(attrs.evolve(WRITE, body=body))
            assert await caller.call(READ) == {"ok": True}
    assert caught.value.committed is None


async def test_a_header_that_http_does_not_know_is_never_sent() -> None:
    with scripted() as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            with pytest.raises(KuzuClientError) as caught:
                await caller.call(attrs.evolve(WRITE, headers=(("X-Mine", "a\nb: c"),)))
            assert await caller.call(READ) == {"ok": True}
    assert caught.value.committed is False
    assert [request.target for request in server.received] == ["/read"]


async def test_a_connection_that_was_closed_between_its_answer_and_the_next_request_is_not_kept() -> None:
    with scripted(otherwise=says(WHOLE)) as server:
        caller = AsyncCaller(server.url, **QUICK)
        async with caller.open_stream(STREAM) as stream:
            await stream.read()
            await caller.aclose()
        assert not stack_of(caller)._idle


async def test_a_client_that_was_closed_under_a_stream_keeps_nothing_of_it() -> None:
    with scripted(stalls(STREAMED + chunked([b"a\n"]))) as server:
        caller = AsyncCaller(server.url, **QUICK)
        async with caller.open_stream(STREAM):
            await caller.aclose()
        assert not stack_of(caller)._open
        assert not stack_of(caller)._idle
        assert await caller.call(READ) == {"ok": True}
        await caller.aclose()
