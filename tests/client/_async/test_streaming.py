"""Answers that are read as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator

import attrs
import pytest

from kuzu_client._async.caller import AsyncCaller
from kuzu_client._core.calls import Call
from kuzu_client.errors import KuzuServerError, KuzuTimeoutError, KuzuTransientError
from tests.client.calls import QUICK, SOON, Events
from tests.client.scripted import (
    Step,
    answer,
    answers,
    breaks_off,
    chunked,
    head,
    problem,
    resets_after_reading,
    says,
    scripted,
    stalls,
)

pytestmark = pytest.mark.anyio

STREAM = Call(operation="stream", method="POST", path="/query", accept="application/x-ndjson")
HEAD = head(200, {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked", "X-Streaming": "true"})
END = b"0\r\n\r\n"
WHOLE = HEAD + chunked([b"a\n", b"b\n"]) + END


async def read(caller: AsyncCaller, call: Call = STREAM) -> bytes:
    async with caller.open_stream(call) as stream:
        return b"".join([piece async for piece in stream.pieces()])


async def take(pieces: AsyncIterator[bytes], got: list[bytes]) -> None:
    async for piece in pieces:
        got.append(piece)  # noqa: PERF401 - what came before the error is wanted


async def test_a_stream_is_read_to_its_end_and_its_connection_used_again() -> None:
    with scripted(says(WHOLE), says(WHOLE)) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            async with caller.open_stream(STREAM) as stream:
                assert stream.headers["x-streaming"] == "true"
                assert b"".join([piece async for piece in stream.pieces()]) == b"a\nb\n"
            assert await read(caller) == b"a\nb\n"
    assert server.connections == 1
    assert server.received[0].headers["accept-encoding"] == "identity"


async def test_pieces_are_there_before_the_end_is() -> None:
    with scripted(stalls(HEAD + chunked([b"early\n"]))) as server:
        async with AsyncCaller(server.url, **QUICK) as caller, caller.open_stream(STREAM) as stream:
            async for piece in stream.pieces():
                assert piece == b"early\n"
                break
    assert server.connections == 1


async def test_what_is_left_in_its_midst_closes_its_connection_and_no_other() -> None:
    with scripted(stalls(HEAD + chunked([b"x" * 1000] * 50)), answers({"ok": True})) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            async with caller.open_stream(STREAM) as stream:
                pieces = stream.pieces()
                assert await pieces.__anext__()
            assert await caller.call(attrs.evolve(STREAM, accept=None)) == {"ok": True}
    assert server.connections == 2


async def test_a_stream_that_nobody_reads_is_closed() -> None:
    with scripted(stalls(HEAD), answers({"ok": True})) as server:
        async with AsyncCaller(server.url, **QUICK, max_connections=1) as caller:
            async with caller.open_stream(STREAM):
                pass
            assert await caller.call(attrs.evolve(STREAM, accept=None)) == {"ok": True}


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(breaks_off(HEAD + chunked([b"a\n"])), id="closed"),
        pytest.param(breaks_off(HEAD + chunked([b"a\n"]) + b"ff\r\nhalf"), id="within-a-chunk"),
        pytest.param(
            breaks_off(head(200, {"Content-Type": "application/x-ndjson", "Content-Length": "9"}) + b"a\n"),
            id="short-of-its-length",
        ),
    ],
)
async def test_a_stream_that_breaks_is_an_error_behind_what_has_come(step: Step) -> None:
    """It is not begun anew: what has been handed on cannot be taken back."""
    got: list[bytes] = []
    with scripted(step) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            async with caller.open_stream(STREAM) as stream:
                pieces = stream.pieces()
                with pytest.raises(KuzuTransientError, match="cut short") as caught:
                    await take(pieces, got)
            assert caught.value.committed is None
            assert b"".join(got).startswith(b"a\n")
            assert await caller.call(attrs.evolve(STREAM, accept=None)) == {"ok": True}
    assert len(server.received) == 2


async def test_until_the_head_is_there_it_is_tried_again() -> None:
    events = Events()
    with scripted(resets_after_reading, problem(503, "admission", committed=False), says(WHOLE)) as server:
        async with AsyncCaller(server.url, observers=[events], **QUICK) as caller:
            assert await read(caller) == b"a\nb\n"
    assert [attempt.status for attempt in events.attempts] == [None, 503, 200]


async def test_a_stream_that_stalls_ends_after_the_time_of_one_call() -> None:
    with scripted(stalls(HEAD + chunked([b"a\n"]))) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            with pytest.raises(KuzuTimeoutError):
                await read(caller, attrs.evolve(STREAM, timeout=SOON))


@pytest.mark.parametrize(
    ("data", "says_so"),
    [
        (answer(200, b"<html>", {"Content-Type": "text/html"}), "text/html instead of application/x-ndjson"),
        (answer(200, b"\x1f\x8b", {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}), "as gzip"),
        (answer(200, b"x", {}), "no type instead"),
    ],
)
async def test_something_else_than_was_asked_for_is_no_stream(data: bytes, says_so: str) -> None:
    with scripted(says(data)) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            with pytest.raises(KuzuServerError, match=says_so):
                await read(caller)
