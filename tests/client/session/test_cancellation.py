from __future__ import annotations

import pytest
import trio
import trio.testing

from kuzu_client.errors import KuzuAPIError, KuzuTransientError
from kuzu_client.session.traffic import UNDER_WAY
from tests.client.session.checkpoints import cancelled_at_every_checkpoint
from tests.client.session.nodes import Peer, scripted

pytestmark = pytest.mark.trio


async def test_cancelling_a_query_stops_it_at_the_node_and_harms_no_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def script(peer: Peer) -> None:
        slow, fast = await peer.hear_all(2)
        await peer.say("columns", slow["id"], columns=["n"])
        await peer.say("rows", slow["id"], rows=[{"n": 1}])
        cancel = await peer.hear()
        assert (cancel["type"], cancel["target"]) == ("cancel", slow["id"])
        await peer.say("rows", slow["id"], rows=[{"n": 2}])
        await peer.done(cancel["id"])
        await peer.error(slow["id"], "cancelled", 499)
        await peer.result(fast["id"], "fast")
        await peer.hear()

    answers = []

    async with scripted(script) as node, node.session() as session, trio.open_nursery() as nursery:

        async def ask_fast() -> None:
            await trio.testing.wait_all_tasks_blocked()
            answers.append(await session.query("fast"))

        nursery.start_soon(ask_fast)
        began = trio.current_time()
        with trio.move_on_after(3) as scope:
            await session.query("slow")
        assert scope.cancelled_caught
        assert trio.current_time() == pytest.approx(began + 3)
        await trio.testing.wait_all_tasks_blocked()
        assert answers[0].data == [{"n": "fast"}]
        assert session.under_way == 0


async def test_a_query_that_has_not_left_is_withdrawn(autojump_clock: trio.testing.MockClock) -> None:
    # The node does not read on: one message waits there, the next is being taken, the third holds up the sender.
    async def script(peer: Peer) -> None:
        await peer.socket.get_message()
        await peer.say("pong", 1)
        await go_on.wait()
        await peer.answer_everything()

    go_on = trio.Event()
    pair = trio.testing.lockstep_stream_pair
    async with scripted(script, pair=pair) as node, node.session() as session:
        async with trio.open_nursery() as nursery:
            for text in ("waits", "is taken", "is sent"):
                nursery.start_soon(session.query, text)
                await trio.testing.wait_all_tasks_blocked()
            with trio.move_on_after(3):
                await session.query("withdrawn")
            under_way = session.under_way
            go_on.set()
        assert under_way == 3
        assert [message["cypher"] for message in node.said] == ["waits", "is taken", "is sent"]


async def test_a_query_that_waits_for_room_is_cancelled_unsent(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted(Peer.hear_to_the_end) as node, node.session() as session, trio.open_nursery() as nursery:
        for _ in range(UNDER_WAY):
            nursery.start_soon(session.query, "slow")
        with trio.move_on_after(3) as scope:
            await session.query("one too many")
        assert scope.cancelled_caught
        assert len(node.said) == UNDER_WAY
        nursery.cancel_scope.cancel()


async def test_cancelled_at_every_checkpoint_a_query_leaves_the_session_whole(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with scripted(Peer.answer_everything) as node, node.session() as session:
        cut = await cancelled_at_every_checkpoint(lambda: session.query("cut"))
        assert cut >= 1
        assert (await session.query("whole")).data == [{"n": "whole"}]
        await trio.testing.wait_all_tasks_blocked()
        assert session.under_way == 0


async def test_cancelled_at_every_checkpoint_a_transaction_leaves_the_session_whole(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with scripted(Peer.answer_everything) as node, node.session() as session:

        async def transfer() -> None:
            async with session.transaction() as tx:
                await tx.query("one")
                async with tx.stream("two") as rows:
                    async for _ in rows:
                        pass

        assert await cancelled_at_every_checkpoint(transfer) >= 4
        assert (await session.query("whole")).data == [{"n": "whole"}]
        await trio.testing.wait_all_tasks_blocked()
        assert session.under_way == 0
        open_transactions = 0
        for message in node.said:
            open_transactions += {"begin": 1, "commit": -1, "rollback": -1}.get(message["type"], 0)
        assert open_transactions == 0


async def test_cancelled_at_every_checkpoint_opening_leaves_nothing_open(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with scripted(Peer.answer_everything) as node:

        async def open_and_ask() -> None:
            async with node.session() as session:
                await session.query("one")

        assert await cancelled_at_every_checkpoint(open_and_ask) >= 4
        assert len(node.streams) >= 4
        for stream in node.streams:
            with pytest.raises(trio.ClosedResourceError):
                await stream.receive_some()


async def test_cancelled_at_every_checkpoint_a_stream_leaves_the_session_whole(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def script(peer: Peer) -> None:
        while True:
            asked = await peer.hear()
            if asked["type"] != "query":
                await peer.done(asked["id"])
                continue
            await peer.say("columns", asked["id"], columns=["n"])
            for number in range(20):
                await peer.say("rows", asked["id"], rows=[{"n": number}])
            await peer.done(asked["id"], row_count=20)

    async with scripted(script) as node, node.session() as session:

        async def read() -> None:
            async with session.stream("all") as rows:
                async for _ in rows:
                    await trio.lowlevel.checkpoint()

        assert await cancelled_at_every_checkpoint(read) >= 20
        assert (await session.query("whole")).row_count == 20
        assert session.under_way == 0


async def test_what_is_under_way_when_the_block_is_left_fails(autojump_clock: trio.testing.MockClock) -> None:
    failures: list[KuzuAPIError] = []

    async with trio.open_nursery() as outer, scripted(Peer.hear_to_the_end) as node:
        async with node.session() as session:

            async def ask() -> None:
                try:
                    await session.query("slow")
                except KuzuAPIError as error:
                    failures.append(error)

            outer.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(KuzuAPIError, match="the session has been closed"):
            await session.query("late")
    assert "the session has been closed" in str(failures[0])
    assert failures[0].committed is None
    assert not isinstance(failures[0], KuzuTransientError)


async def test_a_block_that_is_cancelled_takes_leave_without_waiting_in_vain(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its tasks are not cancelled with it: who else would hear the node's answers to the rollback and the close?"""
    async with scripted(Peer.answer_everything) as node:

        async def converse() -> None:
            async with node.session() as session, session.transaction() as tx:
                await tx.query("CREATE (:P)")

        began = trio.current_time()
        assert await cancelled_at_every_checkpoint(converse) > 5
        assert trio.current_time() == began
    # The last run was not cancelled. Which messages the others got out is a matter of the scheduler.
    assert [message["type"] for message in node.said] == ["begin", "query", "commit"]
