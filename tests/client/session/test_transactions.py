# ruff: noqa: PT012 # what is raised is raised by leaving the block
from __future__ import annotations

import gc
import tracemalloc

import pytest
import trio
import trio.testing

from kuzu_client.errors import KuzuAPIError, KuzuSyntaxError, KuzuTransientError
from tests.client.session.nodes import Peer, ScriptedNode, pass_time, scripted

pytestmark = pytest.mark.trio


def told(node: ScriptedNode) -> list[str]:
    """What the node has heard, queries by their text."""
    return [message.get("cypher", message["type"]) for message in node.said]


class Spilled(Exception):
    """Of the program that uses the session."""


async def test_a_block_that_ends_well_commits(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted(Peer.answer_everything) as node, node.session() as session:
        async with session.transaction() as tx:
            assert (await tx.query("one")).data == [{"n": "one"}]
            async with tx.stream("two") as rows:
                assert [batch async for batch in rows] == [[{"n": "two"}]]
        async with session.transaction(read_only=True) as tx:
            await tx.query("three")
    assert told(node) == ["begin", "one", "two", "commit", "begin", "three", "commit"]
    assert [message.get("read_only") for message in node.said if message["type"] == "begin"] == [None, True]


async def test_an_exception_rolls_back_and_comes_out_as_it_is(autojump_clock: trio.testing.MockClock) -> None:
    spilled = Spilled()
    async with scripted(Peer.answer_everything) as node, node.session() as session:
        with pytest.raises(Spilled) as raised:
            async with session.transaction() as tx:
                await tx.query("one")
                raise spilled
        assert raised.value is spilled
        await session.query("after")
    assert told(node) == ["begin", "one", "rollback", "after"]


async def test_cancellation_rolls_back_before_others_go_on(autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        begin, slow = await peer.hear(), None
        await peer.done(begin["id"])
        slow = await peer.hear()
        cancel, rollback = await peer.hear_all(2)
        assert (cancel["type"], cancel["target"]) == ("cancel", slow["id"])
        await peer.done(cancel["id"])
        await peer.error(slow["id"], "cancelled", 499)
        await peer.done(rollback["id"])
        await peer.answer_everything()

    async with scripted(script) as node, node.session() as session:
        with trio.move_on_after(2) as scope:
            async with session.transaction() as tx:
                await tx.query("slow")
        assert scope.cancelled_caught
        await session.query("after")
    assert told(node) == ["begin", "slow", "cancel", "rollback", "after"]


async def test_a_node_that_does_not_answer_holds_a_cancelled_transaction_for_a_bounded_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.done((await peer.hear())["id"])
        await peer.hear_to_the_end()

    async with scripted(script) as node, node.session() as session:
        began = trio.current_time()
        with trio.move_on_after(2):
            async with session.transaction() as tx:
                await tx.query("slow")
        assert trio.current_time() - began == pytest.approx(7)
    assert told(node) == ["begin", "slow", "cancel", "rollback"]


async def test_other_tasks_wait_until_the_transaction_has_ended(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted(Peer.answer_everything) as node, node.session() as session, trio.open_nursery() as nursery:

        async def other_transaction() -> None:
            async with session.transaction() as tx:
                await tx.query("second")

        async with session.transaction() as tx:
            await tx.query("first")
            nursery.start_soon(session.query, "outside")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(other_transaction)
            await trio.testing.wait_all_tasks_blocked()
            await tx.query("still first")
    assert told(node)[:4] == ["begin", "first", "still first", "commit"]
    assert told(node)[4:] == ["outside", "begin", "second", "commit"]


async def test_a_task_cannot_wait_for_its_own_transaction(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted(Peer.answer_everything) as node, node.session() as session:
        async with session.transaction() as tx:
            with pytest.raises(RuntimeError, match="use the transaction"):
                await session.query("inner")
            with pytest.raises(RuntimeError, match="use the transaction"):
                async with session.transaction():
                    raise AssertionError
            await tx.query("one")
        with pytest.raises(RuntimeError, match="has ended"):
            await tx.query("late")
    assert told(node) == ["begin", "one", "commit"]


async def failing_second(peer: Peer) -> None:
    """The engine's side of an error: what follows is refused until the rollback."""
    await peer.done((await peer.hear())["id"])
    await peer.error((await peer.hear())["id"], "syntax", 400)
    while (order := await peer.hear())["type"] != "rollback":
        await peer.error(order["id"], "transaction_aborted", 409)
    await peer.done(order["id"])
    await peer.answer_everything()


async def test_after_an_error_nothing_is_sent_and_the_first_error_comes_out(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with scripted(failing_second) as node, node.session() as session:
        with pytest.raises(KuzuSyntaxError):
            async with session.transaction() as tx:
                with pytest.raises(KuzuSyntaxError):
                    await tx.query("wrong")
                with pytest.raises(KuzuAPIError) as aborted:
                    await tx.query("next")
                assert (aborted.value.code, aborted.value.committed) == ("transaction_aborted", False)
                assert isinstance(aborted.value.__cause__, KuzuSyntaxError)
                await tx.query("once more")
        await session.query("after")
    assert told(node) == ["begin", "wrong", "rollback", "after"]


async def test_an_error_that_the_block_swallows_does_not_commit(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted(failing_second) as node, node.session() as session:
        with pytest.raises(KuzuSyntaxError):
            async with session.transaction() as tx:
                with pytest.raises(KuzuSyntaxError):
                    await tx.query("wrong")
    assert told(node) == ["begin", "wrong", "rollback"]


async def test_the_first_error_is_the_first_also_of_many_under_way(autojump_clock: trio.testing.MockClock) -> None:
    failures = []

    async with scripted(failing_second) as node, node.session() as session:
        with pytest.raises(KuzuSyntaxError):
            async with session.transaction() as tx:

                async def ask(text: str) -> None:
                    try:
                        await tx.query(text)
                    except KuzuAPIError as error:
                        failures.append(error.code)

                async with trio.open_nursery() as nursery:
                    for number in range(5):
                        nursery.start_soon(ask, str(number))
        await session.query("after")
    assert sorted(failures) == ["syntax", *["transaction_aborted"] * 4]


async def test_a_cancelled_query_aborts_the_transaction_even_if_the_block_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.done((await peer.hear())["id"])
        slow, cancel = await peer.hear_all(2)
        await peer.done(cancel["id"])
        await peer.result(slow["id"], "too late to stop")
        await peer.answer_everything()

    async with scripted(script) as node, node.session() as session:
        with pytest.raises(KuzuAPIError, match="was cancelled") as aborted:
            async with session.transaction() as tx:
                with trio.move_on_after(2):
                    await tx.query("slow")
        assert aborted.value.code == "transaction_aborted"
    assert told(node) == ["begin", "slow", "cancel", "rollback"]


async def test_leaving_a_stream_early_does_not_abort_the_transaction(autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        await peer.done((await peer.hear())["id"])
        asked = (await peer.hear())["id"]
        await peer.say("columns", asked, columns=["n"])
        for number in range(100):
            await peer.say("rows", asked, rows=[{"n": number}])
        await peer.done(asked, row_count=100)
        await peer.answer_everything()

    async with scripted(script) as node, node.session() as session, session.transaction() as tx:
        async with tx.stream("all") as rows:
            await rows.__anext__()
        assert (await tx.query("next")).data == [{"n": "next"}]
    assert told(node) == ["begin", "all", "next", "commit"]


async def test_a_refused_begin_leaves_the_session_free(autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        await peer.error((await peer.hear())["id"], "pool_exhausted", 503, retry_after=1)
        await peer.answer_everything()

    async with scripted(script) as node, node.session() as session:
        with pytest.raises(KuzuTransientError):
            async with session.transaction():
                raise AssertionError
        await session.query("after")
    assert told(node) == ["begin", "after"]


async def test_a_cancelled_begin_is_taken_back_whether_or_not_it_took_effect(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def script(peer: Peer) -> None:
        begin, cancel, rollback = await peer.hear_all(3)
        assert cancel["target"] == begin["id"]
        await peer.done(cancel["id"])
        await peer.error(begin["id"], "cancelled", 499)
        await peer.error(rollback["id"], "bad_request", 400)
        await peer.answer_everything()

    async with scripted(script) as node, node.session() as session:
        with trio.move_on_after(2) as scope:
            async with session.transaction():
                raise AssertionError
        assert scope.cancelled_caught
        await session.query("after")
        assert session.under_way == 0
    assert told(node) == ["begin", "cancel", "rollback", "after"]


async def test_a_commit_under_way_is_heard_out_by_a_cancelled_task(autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        await peer.done((await peer.hear())["id"])
        commit = await peer.hear()
        await pass_time(autojump_clock, 4)
        await peer.done(commit["id"])
        await peer.answer_everything()

    committed = False
    async with scripted(script) as node, node.session() as session:
        with trio.move_on_after(2):
            async with session.transaction():
                pass
            committed = True
        assert committed
    assert told(node) == ["begin", "commit"]


async def test_a_failing_commit_says_whether_it_has_committed(autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        await peer.done((await peer.hear())["id"])
        await peer.error((await peer.hear())["id"], "disk_full", 507, committed=True)
        await peer.error((await peer.hear())["id"], "bad_request", 400)
        await peer.answer_everything()

    async with scripted(script) as node, node.session() as session:
        with pytest.raises(KuzuAPIError) as failed:
            async with session.transaction():
                pass
        assert (failed.value.code, failed.value.committed) == ("disk_full", True)
        await session.query("after")


async def test_a_transaction_that_the_node_has_ended_may_be_tried_again(autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer) -> None:
        await peer.done((await peer.hear())["id"])
        await peer.error((await peer.hear())["id"], "transaction_preempted", 503, retry_after=1)
        await peer.answer_everything()

    async with scripted(script) as node, node.session() as session:
        with pytest.raises(KuzuTransientError) as ended:
            async with session.transaction() as tx:
                await tx.query("late")
        assert (ended.value.code, ended.value.committed) == ("transaction_preempted", False)
    assert told(node) == ["begin", "late", "rollback"]


async def test_many_transactions_leave_nothing_behind(autojump_clock: trio.testing.MockClock) -> None:
    async def forgetful(peer: Peer) -> None:
        while True:
            await peer.done((await peer.hear())["id"])
            peer.heard.clear()

    async with scripted(forgetful) as node, node.session() as session:

        async def transact(times: int) -> None:
            for number in range(times):
                async with session.transaction() as tx:
                    await tx.query("CREATE (:P {id: $id})", {"id": number})

        await transact(50)
        tasks = trio.lowlevel.current_statistics().tasks_living
        gc.collect()
        tracemalloc.start()
        try:
            await transact(20)
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            await transact(400)
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        assert session.under_way == 0
        assert after - before < 40_000  # an order that is kept has more than 500 bytes
