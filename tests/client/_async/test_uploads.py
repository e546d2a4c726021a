"""Bodies that are read while they are sent."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest

from kuzu_client._async.caller import AsyncCaller
from kuzu_client._core.calls import Body, Replay
from kuzu_client.errors import KuzuAPIError
from tests.client.calls import QUICK, WRITE
from tests.client.scripted import Talk, answer, resets_after_reading, scripted

pytestmark = pytest.mark.anyio

PIECES = [b"a" * 10, b"", b"b" * 200_000, b"", b"c"] * 5
UPLOAD = attrs.evolve(WRITE, replay=Replay.SAFE)


class Unreadable(Exception):
    """A file that breaks in its midst."""


@attrs.define
class Source:
    """Counts who has asked for the pieces, and who has closed them."""

    pieces: list[bytes]
    fails: bool = False
    begun: int = 0
    closed: int = 0

    def __call__(self) -> Iterator[bytes]:
        self.begun += 1
        try:
            yield from self.pieces
            if self.fails:
                raise Unreadable
        finally:
            self.closed += 1


@pytest.mark.parametrize("length", [None, sum(map(len, PIECES))], ids=["chunked", "known-length"])
async def test_an_upload_arrives_whole_and_begins_anew_with_each_attempt(length: int | None) -> None:
    source = Source(PIECES)
    with scripted(resets_after_reading) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            await caller.call(attrs.evolve(UPLOAD, body=Body("text/csv", pieces=source, length=length)))
    assert [request.body == b"".join(PIECES) for request in server.received] == [True, True]
    assert ("content-length" in server.received[0].headers) is (length is not None)
    assert (source.begun, source.closed) == (2, 2)


async def test_a_source_that_fails_is_raised_as_it_is_and_no_part_counts_as_the_whole() -> None:
    source = Source(PIECES, fails=True)
    with scripted() as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            with pytest.raises(Unreadable):
                await caller.call(attrs.evolve(UPLOAD, body=Body("text/csv", pieces=source)))
            assert server.received == []
            assert await caller.call(WRITE) == {"ok": True}
    assert (source.begun, source.closed) == (1, 1)


async def test_a_refusal_in_the_midst_ends_the_upload() -> None:
    """The node answers and closes without reading on, while there is far more to send than sockets hold."""

    def refuse(talk: Talk) -> None:
        talk.send(answer(413, b"", {"Connection": "close"}))
        talk.reset()

    source = Source([b"x" * 65536] * 2000)
    with scripted(refuse) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            with pytest.raises(KuzuAPIError):
                await caller.call(attrs.evolve(WRITE, body=Body("text/csv", pieces=source)))
            assert await caller.call(WRITE) == {"ok": True}
    assert (source.begun, source.closed) == (1, 1)


async def test_an_empty_upload_is_one_too() -> None:
    with scripted() as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            await caller.call(attrs.evolve(UPLOAD, body=Body("text/csv", pieces=Source([]))))
    assert server.received[0].body == b""
