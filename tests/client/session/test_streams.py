from __future__ import annotations

import pytest
import trio
import trio.testing

from kuzu_client.errors import KuzuAPIError, KuzuSyntaxError, KuzuTransientError
from tests.client.session.nodes import Peer, pass_time, scripted
from tests.client.session.test_queries import frame

pytestmark = pytest.mark.trio


async def long_answer(peer: Peer, asked: object, batches: int) -> None:
    await peer.say("columns", asked, columns=["n"])
    for number in range(batches):
        await peer.say("rows", asked, rows=[{"n": number}])
    await peer.done(asked, row_count=batches)


async def test_batches_come_as_they_are_sent(autojump_clock: trio.testing.MockClock) -> None:
    read = trio.Event()

    async def script(peer: Peer) -> None:
        asked = (await peer.hear())["id"]
        await peer.say("columns", asked, columns=["n"])
        await peer.say("rows", asked, rows=[{"n": 1}])
        await read.wait()
        await peer.say("rows", asked, rows=[{"n": 2}])
        await peer.done(asked, row_count=2)
        await peer.hear()

    async with scripted(script) as node, node.session() as session, session.stream("MATCH ..") as rows:
        assert rows.columns == ["n"]
        assert await rows.__anext__() == [{"n": 1}]
        read.set()
        assert [batch async for batch in rows] == [[{"n": 2}]]
        assert (rows.row_count, rows.execution_time_ms) == (2, 0.5)


async def test_arrow_batches_come_as_they_are_sent(autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        asked = (await peer.hear())["id"]
        await peer.say("columns", asked, columns=["n"])
        for values in ((), (1, 2), (3,)):
            await peer.say("rows", asked, binary=True, row_count=len(values))
            await peer.socket.send_message(frame(*values))
        await peer.done(asked, row_count=3)
        await peer.hear()

    async with scripted(script) as node, node.session() as session, session.stream_arrow("MATCH ..") as batches:
        assert [batch.to_pydict()["n"] async for batch in batches] == [[1, 2], [3]]


async def test_a_small_answer_is_a_stream_of_one_batch(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted(Peer.answer_everything) as node, node.session() as session, session.stream("one") as rows:
        assert [batch async for batch in rows] == [[{"n": "one"}]]


async def test_a_slow_reader_stops_the_socket_and_loses_nothing(autojump_clock: trio.testing.MockClock) -> None:
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        asked = (await peer.hear())["id"]
        await peer.say("columns", asked, columns=["n"])
        for number in range(500):
            await peer.say("rows", asked, rows=[{"n": number}])
            sent += 1
        await peer.done(asked, row_count=500)
        await peer.answer_everything()

    pair = trio.testing.lockstep_stream_pair
    behind = []
    async with scripted(script, pair=pair) as node, node.session() as session, trio.open_nursery() as nursery:
        async with session.stream("all") as rows:
            first = await rows.__anext__()

            async def ask() -> None:
                behind.append(await session.query("behind"))

            nursery.start_soon(ask)
            await pass_time(autojump_clock, 3600)  # longer than any keepalive
            stopped_at = sent
            rest = [row["n"] async for batch in rows for row in batch]
        await trio.testing.wait_all_tasks_blocked()
        assert stopped_at < 40
        assert [first[0]["n"], *rest] == list(range(500))
        assert behind[0].data == [{"n": "behind"}]


async def test_leaving_a_stream_early_cancels_it_and_drops_the_rest(autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        asked = (await peer.hear())["id"]
        await long_answer(peer, asked, 100)
        await peer.answer_everything()

    pair = trio.testing.lockstep_stream_pair
    async with scripted(script, pair=pair) as node, node.session() as session:
        async with session.stream("all") as rows:
            await rows.__anext__()
        assert (await session.query("next")).data == [{"n": "next"}]
    assert [message["type"] for message in node.said] == ["query", "cancel", "query"]
    assert node.said[1]["target"] == node.said[0]["id"]


async def test_an_exception_within_a_stream_cancels_its_query(autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        asked = await peer.hear()
        if asked["type"] == "begin":
            await peer.done(asked["id"])
            asked = await peer.hear()
        await peer.say("columns", asked["id"], columns=["n"])
        cancel = await peer.hear()
        await peer.done(cancel["id"])
        await peer.error(asked["id"], "cancelled", 499)
        await peer.answer_everything()

    async with scripted(script) as node:
        async with node.session() as session:
            with pytest.raises(ZeroDivisionError):
                async with session.stream("all"):
                    raise ZeroDivisionError
            await session.query("next")
        assert [message["type"] for message in node.said] == ["query", "cancel", "query"]
        async with node.session() as session:
            with pytest.raises(ZeroDivisionError):
                async with session.transaction() as tx, tx.stream("all"):
                    raise ZeroDivisionError
            await session.query("next")
        assert [message["type"] for message in node.said] == ["begin", "query", "cancel", "rollback", "query"]


async def test_an_error_before_the_first_row_is_raised_at_entry(autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        await peer.error((await peer.hear())["id"], "syntax", 400)
        await peer.answer_everything()

    async with scripted(script) as node, node.session() as session:
        with pytest.raises(KuzuSyntaxError):
            async with session.stream("RETRUN"):
                raise AssertionError
        assert (await session.query("next")).row_count == 1


async def test_an_error_after_rows_is_raised_behind_them(autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        asked = (await peer.hear())["id"]
        await peer.say("columns", asked, columns=["n"])
        await peer.say("rows", asked, rows=[{"n": 1}])
        await peer.error(asked, "runtime", 400, committed=True)
        await peer.hear()

    async with scripted(script) as node, node.session() as session, session.stream("all") as rows:
        assert await rows.__anext__() == [{"n": 1}]
        with pytest.raises(KuzuAPIError, match="the runtime") as wrong:
            await rows.__anext__()
    assert wrong.value.committed is True


async def test_a_lost_session_is_raised_behind_the_rows(autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        asked = (await peer.hear())["id"]
        await peer.say("columns", asked, columns=["n"])
        await peer.say("rows", asked, rows=[{"n": 1}])

    async with scripted(script) as node, node.session() as session, session.stream("all") as rows:
        assert await rows.__anext__() == [{"n": 1}]
        with pytest.raises(KuzuTransientError):
            await rows.__anext__()


async def test_the_reader_of_a_stream_is_told_that_asking_would_wait_for_itself(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with scripted(Peer.answer_everything) as node, node.session() as session:
        async with session.stream("all") as rows:
            with pytest.raises(RuntimeError, match="reads a stream of the same session"):
                await session.query("inner")
            with pytest.raises(RuntimeError, match="reads a stream of the same session"):
                async with session.transaction():
                    raise AssertionError
            async for _ in rows:
                pass
            assert (await session.query("after")).row_count == 1
        assert (await session.query("outside")).row_count == 1
