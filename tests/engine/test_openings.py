from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from kuzu_node.engine.openings import Openings, Tenant
from kuzu_node.engine.presence import Presence
from tests.engine.cancelling import cancel_everywhere

pytestmark = pytest.mark.trio


async def occupy(openings: Openings, presence: Presence, *, task_status: trio.TaskStatus[Tenant]) -> None:
    """As a supervisor does: stays until it is asked to close and nobody uses the database."""
    async with openings.place(presence) as tenant:
        task_status.started(tenant)
        await tenant.evict.wait()
        await presence.wait_empty()


def used(name: str, at: float) -> Presence:
    presence = Presence(name)
    presence.enter(at)
    presence.leave(at)
    return presence


async def test_the_idlest_closes_for_the_next(autojump_clock: MockClock) -> None:
    openings = Openings(2)
    async with trio.open_nursery() as nursery:
        older = await nursery.start(occupy, openings, used("older", 1))
        newer = await nursery.start(occupy, openings, used("newer", 2))
        async with openings.place(Presence("next")):
            assert older.evict.is_set()
            assert not newer.evict.is_set()
            assert openings.open_count == 2
        nursery.cancel_scope.cancel()
    assert openings.open_count == 0


async def test_one_that_is_used_or_waited_for_is_left_alone(autojump_clock: MockClock) -> None:
    openings, busy, awaited = Openings(2), used("busy", 1), used("awaited", 2)
    async with trio.open_nursery() as nursery:
        tenants = [await nursery.start(occupy, openings, one) for one in (busy, awaited)]
        busy.enter(3)
        awaited.waiting = 1
        entered = trio.Event()

        async def newcomer() -> None:
            async with openings.place(Presence("next")):
                entered.set()

        nursery.start_soon(newcomer)
        await wait_all_tasks_blocked()
        assert [one.evict.is_set() for one in tenants] == [False, False]
        # Nobody enters after all: that too makes room.
        awaited.waiting = 0
        awaited.unused()
        await entered.wait()
        assert [one.evict.is_set() for one in tenants] == [False, True]
        nursery.cancel_scope.cancel()


async def test_the_last_user_to_leave_makes_room(autojump_clock: MockClock) -> None:
    openings, presence, entered = Openings(1), Presence("busy"), trio.Event()
    presence.enter(1)
    async with trio.open_nursery() as nursery:
        await nursery.start(occupy, openings, presence)

        async def newcomer() -> None:
            async with openings.place(Presence("next")):
                entered.set()

        nursery.start_soon(newcomer)
        await wait_all_tasks_blocked()
        assert not entered.is_set()
        presence.leave(2)
        await entered.wait()
        nursery.cancel_scope.cancel()


async def test_no_more_close_than_wait(autojump_clock: MockClock) -> None:
    openings = Openings(4)
    async with trio.open_nursery() as nursery:
        tenants = [await nursery.start(occupy, openings, used(str(n), n)) for n in range(4)]
        async with AsyncExitStack() as stack:
            for name in ("next", "and the next"):
                presence = Presence(name, waiting=1)
                await stack.enter_async_context(openings.place(presence))
            assert [one.evict.is_set() for one in tenants] == [True, True, False, False]
        nursery.cancel_scope.cancel()


async def test_places_are_given_in_the_order_of_asking(autojump_clock: MockClock) -> None:
    openings, order = Openings(1), []

    async def pass_through(name: int) -> None:
        async with openings.place(Presence(str(name))):
            order.append(name)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for name in range(5):
            nursery.start_soon(pass_through, name)
            if not name:
                await wait_all_tasks_blocked()
            else:
                await trio.lowlevel.checkpoint()
    assert order == sorted(order)


async def test_a_place_that_is_cancelled_anywhere_is_free_again(autojump_clock: MockClock) -> None:
    openings = Openings(1)

    async def operation() -> None:
        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(_brief, openings, name)

    def check() -> None:
        assert openings.open_count == 0
        assert openings.waiting == 0

    assert await cancel_everywhere(operation, check, most=30) > 1
    with trio.fail_after(1):
        async with openings.place(Presence("after")):
            assert openings.open_count == 1


async def _brief(openings: Openings, name: str) -> None:
    async with openings.place(Presence(name)):
        await trio.lowlevel.checkpoint()
