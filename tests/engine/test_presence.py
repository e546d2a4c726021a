from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from kuzu_node.engine.presence import Presence
from kuzu_node.engine.values import State
from kuzu_node.errors import NotFound, Unavailable
from tests.engine.cancelling import cancel_everywhere
from tests.engine.fakes import fake_worker

pytestmark = pytest.mark.trio


def starting() -> Presence:
    presence = Presence("g")
    presence.move(State.STARTING)
    return presence


async def test_all_who_wait_get_the_worker_at_once(autojump_clock: MockClock) -> None:
    presence, worker, got = starting(), fake_worker(), []

    async def waiter() -> None:
        got.append(await presence.wait_usable())

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(waiter)
        await wait_all_tasks_blocked()
        assert presence.waiting == 3
        presence.move(State.READY, worker=worker)
    assert got == [worker] * 3
    assert presence.waiting == 0


async def test_waiting_makes_the_database_wanted(autojump_clock: MockClock) -> None:
    presence = Presence("g")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(presence.wait_usable)
        with trio.fail_after(1):
            await presence.wait_wanted()
        presence.no_longer_wanted()
        with trio.fail_after(1):
            await presence.wait_wanted()
        nursery.cancel_scope.cancel()
    presence.no_longer_wanted()
    with trio.move_on_after(1) as scope:
        await presence.wait_wanted()
    assert scope.cancelled_caught


async def test_a_refusal_reaches_those_who_wait_and_those_who_come(autojump_clock: MockClock) -> None:
    presence, refused = starting(), []

    async def waiter() -> None:
        with pytest.raises(NotFound) as caught:
            await presence.wait_usable()
        refused.append(caught.value.code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiter)
        await wait_all_tasks_blocked()
        presence.refuse(NotFound("it is gone"))
        nursery.start_soon(waiter)
    assert refused == ["unknown_database"] * 2
    presence.move(State.READY, worker=fake_worker())
    assert presence.usable() is None


async def test_a_failed_database_says_why_and_when_it_is_tried_again(autojump_clock: MockClock) -> None:
    presence = starting()
    presence.last_error, presence.retry_at = "bad file", trio.current_time() + 40
    presence.move(State.FAILED)
    with pytest.raises(Unavailable) as caught:
        await presence.wait_usable()
    assert caught.value.code == "database_failed"
    assert caught.value.retry_after == pytest.approx(40)
    assert "bad file" in caught.value.detail
    assert "/admin/databases/g/reopen" in caught.value.detail


async def test_neither_a_doomed_nor_a_leaving_worker_is_lent() -> None:
    presence, worker = starting(), fake_worker()
    presence.move(State.READY, worker=worker)
    assert presence.usable() is worker
    presence.ask_to_swap()
    # Readers may go on until the supervisor ends it.
    assert presence.usable() is worker
    assert presence.swap_wanted.is_set()
    presence.begin_leaving()
    assert presence.usable() is None
    presence.leaving = False
    worker.process.doomed = True
    assert presence.usable() is None


async def test_it_is_idle_when_the_last_user_has_left(autojump_clock: MockClock) -> None:
    presence, idle = starting(), []
    presence.on_idle = lambda: idle.append(presence.users)
    presence.enter(1)
    presence.enter(2)
    presence.leave(3)
    assert idle == []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(presence.wait_empty)
        await wait_all_tasks_blocked()
        presence.leave(4)
    assert idle == [0]
    assert presence.last_used == 4


async def test_a_database_that_opens_for_nobody_is_idle_at_once() -> None:
    presence, idle = starting(), []
    presence.on_idle = lambda: idle.append(True)
    presence.move(State.READY, worker=fake_worker())
    assert idle == [True]


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ((), State.READY),
        ((), State.FAILED),
        ((State.STARTING, State.READY), State.STARTING),
        ((State.STARTING, State.READY), State.FAILED),
        ((State.STARTING, State.FAILED), State.READY),
    ],
)
async def test_states_follow_the_table(path: tuple[State, ...], wrong: State) -> None:
    presence = Presence("g")
    for state in path:
        presence.move(state)
    with pytest.raises(AssertionError):
        presence.move(wrong)


async def test_whoever_is_cancelled_no_longer_waits(autojump_clock: MockClock) -> None:
    presence = starting()

    async def operation() -> None:
        with trio.move_on_after(1):
            await presence.wait_usable()

    def check() -> None:
        assert presence.waiting == 0

    await cancel_everywhere(operation, check, most=10)
