from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from kuzu_client.errors import (
    KuzuAPIError,
    KuzuClientError,
    KuzuServerError,
    KuzuTimeoutError,
    KuzuTransientError,
    ServiceUnavailableError,
)
from kuzu_client.session import Session
from tests.client.session.nodes import Peer, pass_time, scripted

pytestmark = pytest.mark.trio

CLOSES = [
    (1009, "too_large", KuzuAPIError, 413, None),
    (1011, "internal", KuzuServerError, 500, None),
    (1012, "draining; retry_after=5", KuzuTransientError, 503, 5.0),
    (1012, "database_restarting", KuzuTransientError, 503, None),
    (4401, "invalid_key", KuzuClientError, 401, None),
    (4404, "unknown_database", KuzuClientError, 404, None),
    (4408, "idle", KuzuTimeoutError, 408, None),
    (1012, None, KuzuTransientError, 503, None),
    (1000, None, KuzuTransientError, None, None),
    (4999, "Whatever this may be", KuzuTransientError, None, None),
]


async def failures_of(
    script: Callable[[Peer], Awaitable[None]],
    *calls: Callable[[Session], Awaitable[object]],
) -> list[KuzuAPIError]:
    """What each of the calls, made in this order at once, has raised."""
    failures: dict[int, KuzuAPIError] = {}

    async def ask(number: int, session: Session, call: Callable[[Session], Awaitable[object]]) -> None:
        try:
            await call(session)
        except KuzuAPIError as error:
            failures[number] = error

    async with scripted(script) as node, node.session() as session, trio.open_nursery() as nursery:
        for number, call in enumerate(calls):
            nursery.start_soon(ask, number, session, call)
            await trio.testing.wait_all_tasks_blocked()
    return [failures[number] for number in range(len(calls))]


async def write(session: Session) -> object:
    return await session.query("CREATE ..")


async def read(session: Session) -> object:
    return await session.query("MATCH ..", read_only=True)


@pytest.mark.parametrize(("code", "reason", "kind", "status", "retry_after"), CLOSES)
async def test_a_close_code_tells_what_has_happened(
    code: int,
    reason: str | None,
    kind: type[KuzuAPIError],
    status: int | None,
    retry_after: float | None,
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear()
        await peer.socket.aclose(code, reason)

    under_way, late = await failures_of(script, write, write)
    assert type(under_way) is kind
    assert (under_way.status_code, under_way.retry_after, under_way.committed) == (status, retry_after, None)
    assert late.committed is False
    assert isinstance(late, ServiceUnavailableError if status == 503 else kind)
    if reason is not None and ";" not in reason and code != 4999:
        assert under_way.code == reason


async def test_a_connection_that_breaks_leaves_only_writes_in_doubt(autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear_all(2)

    failures = await failures_of(script, write, read)
    assert [type(error) for error in failures] == [KuzuTransientError] * 2
    assert [error.committed for error in failures] == [None, False]


async def test_within_a_transaction_only_the_commit_is_in_doubt(autojump_clock: trio.testing.MockClock) -> None:
    async def before_the_commit(peer: Peer) -> None:
        await peer.done((await peer.hear())["id"])
        await peer.hear()

    async def after_the_commit(peer: Peer) -> None:
        await peer.done((await peer.hear())["id"])
        await peer.done((await peer.hear())["id"])
        await peer.hear()

    async def transact(session: Session) -> None:
        async with session.transaction() as tx:
            await tx.query("CREATE ..")

    async def only_look(session: Session) -> None:
        async with session.transaction(read_only=True) as tx:
            await tx.query("MATCH ..")

    assert [error.committed for error in await failures_of(before_the_commit, transact)] == [False]
    assert [error.committed for error in await failures_of(after_the_commit, transact)] == [None]
    assert [error.committed for error in await failures_of(after_the_commit, only_look)] == [False]


GARBAGE = {
    "no JSON": "{",
    "no object": "[]",
    "no type": '{"id":2}',
    "an id that is not under way": '{"type":"done","id":77}',
    "an id that is none": '{"type":"done"}',
    "rows before columns": '{"type":"rows","id":2,"rows":[]}',
    "rows that are none": '{"type":"result","id":2,"columns":["n"],"rows":[1],"row_count":1}',
    "a wrong count": '{"type":"result","id":2,"columns":["n"],"rows":[],"row_count":1}',
    "an error without a code": '{"type":"error","id":2}',
    "an order that the node could not read": '{"type":"error","id":null,"code":"bad_request","status":400}',
    "bytes that nothing announced": b"abc",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_ends_the_session(garbage: str | bytes, autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        assert (await peer.hear())["id"] == 2
        await peer.socket.send_message(garbage)
        await peer.hear()

    under_way, late = await failures_of(script, write, write)
    assert type(under_way) is KuzuServerError
    assert under_way.committed is None
    assert type(late) is KuzuServerError
    assert late.committed is False


async def test_bytes_that_are_no_frames_end_the_session(autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear()
        assert peer.stream is not None
        await peer.stream.send_all(b"\xff" * 40)
        await trio.sleep_forever()

    under_way, late = await failures_of(script, write, write)
    assert type(under_way) is KuzuTransientError
    assert under_way.committed is None
    assert late.committed is False


async def test_text_in_the_place_of_announced_bytes_ends_the_session(autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        asked = (await peer.hear())["id"]
        await peer.say("columns", asked, columns=["n"])
        await peer.say("rows", asked, binary=True, row_count=1)
        await peer.done(asked, row_count=1)
        await peer.hear()

    (failure,) = await failures_of(script, write)
    assert type(failure) is KuzuServerError


async def test_bytes_that_are_no_arrow_fail_the_query_alone(autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        asked = (await peer.hear())["id"]
        await peer.say("columns", asked, columns=["n"])
        await peer.say("rows", asked, binary=True, row_count=1)
        await peer.socket.send_message(b"this is no stream of arrows")
        await peer.done(asked, row_count=1)
        await peer.answer_everything()

    async with scripted(script) as node, node.session() as session:
        with pytest.raises(KuzuServerError, match="no Arrow stream"):
            await session.query("MATCH ..", format="arrow")
        assert (await session.query("after")).row_count == 1


async def test_a_message_that_is_too_long_ends_the_session(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(peer: Peer) -> None:
        await peer.result((await peer.hear())["id"], "x" * 200)
        await peer.hear()

    monkeypatch.setattr("kuzu_client.session.socket.MAX_MESSAGE_BYTES", 150)
    monkeypatch.setattr("kuzu_client.session.losses.MAX_MESSAGE_BYTES", 150)
    (failure,) = await failures_of(script, write)
    assert type(failure) is KuzuServerError
    assert "longer than a session takes" in str(failure)


async def test_a_node_that_falls_silent_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        silent = trio.Event()
        peers = []

        async def script(peer: Peer) -> None:
            peers.append(peer)
            await peer.hear_to_the_end()

        async with scripted(script) as node, node.session() as session:
            await session.ping()
            stream = node.streams[0]
            assert isinstance(stream, trio.StapledStream)
            stream.receive_stream = Silence(silent, stream.receive_stream)
            silent.set()
            await trio.testing.wait_all_tasks_blocked()
            began = trio.current_time()
            with pytest.raises(KuzuTransientError, match="fallen silent") as lost:
                await session.query("CREATE ..")
            assert 20 <= trio.current_time() - began <= 80
            assert lost.value.committed is None
        nursery.cancel_scope.cancel()


class Silence(trio.abc.ReceiveStream):
    """Nothing comes through any more."""

    def __init__(self, since: trio.Event, below: trio.abc.ReceiveStream) -> None:
        self._closed = trio.Event()
        self._below = below

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        await self._closed.wait()
        raise trio.ClosedResourceError

    async def aclose(self) -> None:
        self._closed.set()
        await self._below.aclose()


async def test_an_idle_session_lives_on_pings(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted(Peer.answer_everything) as node, node.session() as session:
        await pass_time(autojump_clock, 3600)
        assert (await session.query("after")).row_count == 1


async def test_a_slow_query_is_not_silence(autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        asked = (await peer.hear())["id"]
        await pass_time(autojump_clock, 300)
        await peer.result(asked, "late")
        await peer.hear()

    async with scripted(script) as node, node.session() as session:
        assert (await session.query("slow")).data == [{"n": "late"}]
