from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from kuzu_node.engine.turn import Locks, Turn
from kuzu_node.errors import Unavailable
from tests.engine.cancelling import cancel_everywhere

pytestmark = pytest.mark.trio


def locks(slots: int = 1, *, queue_timeout: float = 5, queue_length: int = 100) -> Locks:
    return Locks(trio.CapacityLimiter(slots), queue_timeout, queue_length)


def assert_free(shared: Locks) -> None:
    assert shared.slots.borrowed_tokens == 0
    assert shared.writer.value == 1
    assert shared.gate.inside == 0
    assert shared.waiting == 0


async def hold(shared: Locks, *, write: bool, until: trio.Event, gate: bool = True) -> None:
    turn = Turn(shared)
    await turn.acquire(write=write, gate=gate)
    await until.wait()
    turn.release()


async def test_a_turn_holds_what_it_needs_and_gives_it_back_twice_without_harm() -> None:
    shared = locks()
    turn = Turn(shared)
    await turn.acquire(write=True)
    assert shared.writer.value == 0
    assert shared.slots.borrowed_tokens == 1
    assert shared.gate.inside == 1
    for _ in range(2):
        turn.release_gate()
        turn.release_writer()
        turn.release()
    assert_free(shared)


async def test_readers_take_no_writer_lock_and_go_beside_a_writer() -> None:
    shared = locks(2)
    writer, reader = Turn(shared), Turn(shared)
    await writer.acquire(write=True)
    await reader.acquire(write=False)
    assert shared.slots.borrowed_tokens == 2
    reader.release()
    writer.release()
    assert_free(shared)


async def test_a_writer_that_waits_for_another_holds_no_slot(autojump_clock: MockClock) -> None:
    shared, until = locks(2), trio.Event()
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(lambda: hold(shared, write=True, until=until))
        await wait_all_tasks_blocked()
        assert shared.slots.borrowed_tokens == 1
        assert shared.waiting == 2
        reader = Turn(shared)
        await reader.acquire(write=False)
        reader.release()
        until.set()
    assert_free(shared)


async def test_turns_come_in_the_order_of_arrival_and_nobody_overtakes(autojump_clock: MockClock) -> None:
    shared, until, order = locks(), trio.Event(), []

    async def reader(name: int) -> None:
        turn = Turn(shared)
        await turn.acquire(write=False)
        order.append(name)
        await trio.lowlevel.checkpoint()
        turn.release()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: hold(shared, write=False, until=until))
        await wait_all_tasks_blocked()
        for name in range(5):
            nursery.start_soon(reader, name)
            await wait_all_tasks_blocked()
        until.set()
        # The slot has been handed to the first in line already: whoever comes now queues up behind the others.
        await trio.lowlevel.checkpoint()
        await reader(5)
    assert order == [0, 1, 2, 3, 4, 5]


async def test_a_writer_does_not_overtake_waiting_writers(autojump_clock: MockClock) -> None:
    shared, order = locks(3), []
    first = Turn(shared)
    await first.acquire(write=True)

    async def writer(name: str) -> None:
        turn = Turn(shared)
        await turn.acquire(write=True)
        order.append(name)
        turn.release()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer, "waiting")
        await wait_all_tasks_blocked()
        first.release()
        # In the same step as the release: the lock has a new owner, though that one has not run yet.
        await writer("late")
    assert order == ["waiting", "late"]


@pytest.mark.parametrize("missing", ["connection", "turn to write", "way past a checkpoint"])
async def test_waiting_is_bounded_and_says_for_what(missing: str, autojump_clock: MockClock) -> None:
    shared = locks(1 if missing == "connection" else 2, queue_timeout=3)
    until = trio.Event()
    async with trio.open_nursery() as nursery:
        if missing == "way past a checkpoint":
            nursery.start_soon(_close_gate, shared, until)
        else:
            nursery.start_soon(lambda: hold(shared, write=missing == "turn to write", until=until))
        await wait_all_tasks_blocked()
        started, turn = trio.current_time(), Turn(shared)
        with pytest.raises(Unavailable) as caught:
            await turn.acquire(write=missing == "turn to write")
        assert trio.current_time() - started == pytest.approx(3)
        assert (caught.value.code, caught.value.committed, caught.value.retry_after) == ("pool_exhausted", False, 1)
        assert missing in caught.value.detail
        until.set()
    assert_free(shared)


async def _close_gate(shared: Locks, until: trio.Event) -> None:
    async with shared.gate.exclusive():
        await until.wait()


async def test_a_full_queue_refuses_at_once(autojump_clock: MockClock) -> None:
    shared, until = locks(queue_length=2), trio.Event()
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(lambda: hold(shared, write=False, until=until))
        await wait_all_tasks_blocked()
        with pytest.raises(Unavailable) as caught:
            await Turn(shared).acquire(write=True)
        assert caught.value.code == "queue_full"
        assert shared.writer.value == 1
        assert trio.current_time() == pytest.approx(autojump_clock.current_time())
        until.set()
    assert_free(shared)


@pytest.mark.parametrize("write", [False, True])
async def test_nothing_is_kept_by_a_turn_that_is_cancelled_anywhere(write: bool, autojump_clock: MockClock) -> None:
    shared = locks()

    async def operation() -> None:
        async with trio.open_nursery() as nursery:
            for kind in (False, True):
                nursery.start_soon(_brief, shared, kind)
            await _brief(shared, write)
            # Behind a closed gate: the last of the three is waited for too.
            nursery.start_soon(_close_gate_briefly, shared)
            await wait_all_tasks_blocked()
            await _brief(shared, write)

    assert await cancel_everywhere(operation, lambda: assert_free(shared), most=60) >= 5


async def _brief(shared: Locks, write: bool) -> None:
    turn = Turn(shared)
    await turn.acquire(write=write)
    try:
        await trio.lowlevel.checkpoint()
    finally:
        turn.release()


async def _close_gate_briefly(shared: Locks) -> None:
    async with shared.gate.exclusive():
        await wait_all_tasks_blocked(0.1)


async def test_a_turn_without_the_gate_enters_it_later() -> None:
    shared = locks()
    turn = Turn(shared)
    await turn.acquire(write=True, gate=False)
    assert shared.gate.inside == 0
    await turn.enter_gate()
    await turn.enter_gate()
    assert shared.gate.inside == 1
    turn.release()
    assert_free(shared)
