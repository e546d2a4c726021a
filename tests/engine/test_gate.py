from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from kuzu_node.engine.gate import HOLD_BACK, Gate, GateBusy
from tests.engine.cancelling import cancel_everywhere

pytestmark = pytest.mark.trio


async def test_statements_pass_together_and_a_checkpoint_alone(autojump_clock: MockClock) -> None:
    gate, seen = Gate(), []

    async def checkpoint() -> None:
        async with gate.exclusive():
            seen.append(gate.inside)

    assert gate.enter_nowait()
    assert gate.enter_nowait()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(checkpoint)
        await wait_all_tasks_blocked()
        gate.leave()
        await wait_all_tasks_blocked()
        assert seen == []
        gate.leave()
    assert seen == [0]
    assert not gate.closed


async def test_newcomers_are_held_back_while_a_checkpoint_waits_or_runs(autojump_clock: MockClock) -> None:
    gate, order, done = Gate(), [], trio.Event()

    async def checkpoint() -> None:
        async with gate.exclusive():
            order.append("checkpoint")
            await done.wait()

    async def newcomer() -> None:
        await gate.enter()
        order.append("newcomer")

    gate.enter_nowait()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(checkpoint)
        await wait_all_tasks_blocked()
        assert not gate.enter_nowait()
        nursery.start_soon(newcomer)
        gate.leave()
        await wait_all_tasks_blocked()
        assert order == ["checkpoint"]
        done.set()
    assert order == ["checkpoint", "newcomer"]
    assert gate.inside == 1


async def test_newcomers_wait_a_second_at_most_for_a_checkpoint_that_gets_no_turn(autojump_clock: MockClock) -> None:
    gate = Gate()

    async def checkpoint() -> None:
        with pytest.raises(GateBusy):
            await gate.exclusive().__aenter__()

    gate.enter_nowait()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(checkpoint)
        await wait_all_tasks_blocked()
        started = trio.current_time()
        await gate.enter()
        assert trio.current_time() - started == pytest.approx(HOLD_BACK)
    assert not gate.closed
    assert gate.inside == 2


async def test_the_gate_opens_again_wherever_a_checkpoint_is_cancelled(autojump_clock: MockClock) -> None:
    gate = Gate()

    async def checkpoint() -> None:
        gate.enter_nowait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_leave_later, gate)
            async with gate.exclusive():
                await trio.lowlevel.checkpoint()

    def check() -> None:
        assert not gate.closed
        assert gate.inside == 0

    assert await cancel_everywhere(checkpoint, check, most=20) >= 3


async def _leave_later(gate: Gate) -> None:
    try:
        await trio.lowlevel.checkpoint()
    finally:
        gate.leave()


async def test_whoever_is_cancelled_before_the_gate_is_not_inside(autojump_clock: MockClock) -> None:
    gate = Gate()

    async def pass_by() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_close_for_a_moment, gate)
            await wait_all_tasks_blocked()
            await gate.enter()
            gate.leave()

    def check() -> None:
        assert not gate.closed
        assert gate.inside == 0

    await cancel_everywhere(pass_by, check, most=20)


async def _close_for_a_moment(gate: Gate) -> None:
    async with gate.exclusive():
        await wait_all_tasks_blocked(0.1)
