from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from kuzu_node.engine.deliveries import BYTES_PER_VALUE, STALLED_SECONDS, Deliveries, NoRoom, Place
from tests.engine.cancelling import cancel_everywhere

pytestmark = pytest.mark.trio

KB = 1024 // BYTES_PER_VALUE


async def stand_still(deliveries: Deliveries, values: int, cuts: list[float]) -> None:
    """A reader that takes nothing until it is cut."""
    place = await deliveries.enter(values)
    with trio.CancelScope() as scope, place.stands_still(scope):
        await trio.sleep_forever()
    assert place.was_cut
    cuts.append(trio.current_time())
    deliveries.leave(place)


async def test_results_are_bounded_in_number(autojump_clock: MockClock) -> None:
    deliveries = Deliveries(2, 1 << 30, waiting=9)
    places = [await deliveries.enter(1) for _ in range(2)]
    entered = trio.Event()

    async def third() -> None:
        await deliveries.enter(1)
        entered.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(third)
        await wait_all_tasks_blocked()
        assert not entered.is_set()
        deliveries.leave(places[0])
    assert deliveries.count == 2


async def test_results_are_bounded_in_bytes_but_a_single_one_is_never_too_large(autojump_clock: MockClock) -> None:
    deliveries = Deliveries(9, 1024, waiting=9)
    large = await deliveries.enter(100 * KB)
    with trio.move_on_after(10) as scope:
        await deliveries.enter(1)
    assert scope.cancelled_caught
    deliveries.leave(large)
    half = await deliveries.enter(KB // 2)
    await deliveries.enter(KB // 2)
    with trio.move_on_after(10) as scope:
        await deliveries.enter(1)
    assert scope.cancelled_caught
    deliveries.leave(half)
    await deliveries.enter(1)


async def test_several_come_at_once_where_there_is_room(autojump_clock: MockClock) -> None:
    deliveries = Deliveries(9, 1 << 30, waiting=1)
    async with trio.open_nursery() as nursery:
        for _ in range(9):
            nursery.start_soon(deliveries.enter, 1)
    assert deliveries.count == 9


async def test_whoever_waits_is_woken_however_many_wait(autojump_clock: MockClock) -> None:
    deliveries, entered = Deliveries(1, 1 << 30, waiting=9), []
    place = await deliveries.enter(1)

    async def waiter(name: int) -> None:
        mine = await deliveries.enter(1)
        entered.append((name, trio.current_time()))
        deliveries.leave(mine)

    async with trio.open_nursery() as nursery:
        for name in range(5):
            nursery.start_soon(waiter, name)
            await wait_all_tasks_blocked()
        now = trio.current_time()
        deliveries.leave(place)
    assert entered == [(name, now) for name in range(5)]


async def test_small_results_do_not_pass_a_large_one_for_ever(autojump_clock: MockClock) -> None:
    deliveries, order = Deliveries(9, 1024, waiting=9), []
    place = await deliveries.enter(KB // 2)

    async def waiter(name: str, values: int) -> None:
        mine = await deliveries.enter(values)
        order.append(name)
        deliveries.leave(mine)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiter, "large", 2 * KB)
        await wait_all_tasks_blocked()
        nursery.start_soon(waiter, "small", 1)
        await wait_all_tasks_blocked()
        assert order == []
        deliveries.leave(place)
    assert order == ["large", "small"]


async def test_readers_that_stand_still_give_way_after_a_second_the_stillest_first(autojump_clock: MockClock) -> None:
    deliveries, cuts = Deliveries(2, 1 << 30, waiting=9), list[float]()
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(stand_still, deliveries, 1, cuts)
            with trio.move_on_after(0.25):
                await trio.sleep_forever()
        started = trio.current_time()
        for _ in range(2):
            place = await deliveries.enter(1)
        assert cuts == [pytest.approx(started - 0.5 + STALLED_SECONDS), pytest.approx(started - 0.25 + STALLED_SECONDS)]
    deliveries.leave(place)


async def test_a_reader_that_goes_on_is_not_cut(autojump_clock: MockClock) -> None:
    deliveries = Deliveries(1, 1 << 30, waiting=9)
    place = await deliveries.enter(1)

    async def slow_reader() -> None:
        for _ in range(10):
            with trio.move_on_after(0.9 * STALLED_SECONDS) as scope, place.stands_still(scope):
                await trio.sleep_forever()
            place.progress(trio.current_time())
        deliveries.leave(place)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(slow_reader)
        started = trio.current_time()
        await deliveries.enter(1)
        assert trio.current_time() - started == pytest.approx(9 * STALLED_SECONDS)
    assert not place.was_cut


async def test_nobody_is_cut_while_there_is_room(autojump_clock: MockClock) -> None:
    deliveries = Deliveries(2, 1 << 30, waiting=9)
    place = await deliveries.enter(1)
    with trio.move_on_after(100 * STALLED_SECONDS) as scope, place.stands_still(scope):
        await trio.sleep_forever()
    await deliveries.enter(1)
    assert not place.was_cut


async def test_a_place_that_is_cancelled_anywhere_is_free_again(autojump_clock: MockClock) -> None:
    deliveries = Deliveries(1, 1 << 30, waiting=9)

    async def operation() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(_brief, deliveries)

    def check() -> None:
        assert deliveries.count == 0

    assert await cancel_everywhere(operation, check, most=30) > 1
    with trio.fail_after(1):
        assert isinstance(await deliveries.enter(1), Place)


async def _brief(deliveries: Deliveries) -> None:
    place = await deliveries.enter(1)
    try:
        await trio.lowlevel.checkpoint()
    finally:
        deliveries.leave(place)


async def test_more_than_may_wait_are_refused_at_once_so_that_slots_are_left(
    autojump_clock: MockClock,
) -> None:
    deliveries = Deliveries(1, 1 << 30, waiting=1)
    first = await deliveries.enter(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deliveries.enter, 1)
        await wait_all_tasks_blocked()
        with pytest.raises(NoRoom):
            await deliveries.enter(1)
        deliveries.leave(first)
    with trio.move_on_after(1) as scope:
        await deliveries.enter(1)
    assert scope.cancelled_caught
    # Whoever gave up waiting does not count any more.
    with trio.move_on_after(1) as scope:
        await deliveries.enter(1)
    assert scope.cancelled_caught
