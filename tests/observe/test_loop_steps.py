from __future__ import annotations

import time

import pytest
import trio
from structlog.testing import capture_logs

from kuzu_node.observe.loop_steps import LONG_STEP, watched_loop

pytestmark = pytest.mark.trio


def burn(seconds: float) -> None:
    """Of this thread's processor time, so that a busy machine makes no difference."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def test_a_step_that_keeps_the_loop_is_told_with_its_task() -> None:
    async def greedy() -> None:
        burn(1.5 * LONG_STEP)

    with capture_logs() as logs, watched_loop() as steps:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(greedy, name="the greedy one")
    assert [name for name, _ in steps.slow] == ["the greedy one"]
    assert steps.longest >= LONG_STEP
    assert [(one["event"], one["task"]) for one in logs] == [("loop_step", "the greedy one")]


async def test_short_steps_and_waiting_are_nobodys_fault() -> None:
    with watched_loop() as steps:
        for _ in range(20):
            burn(LONG_STEP / 20)
            await trio.lowlevel.checkpoint()
        with trio.move_on_after(2 * LONG_STEP):
            await trio.sleep_forever()
    assert steps.slow == []


async def test_nothing_is_timed_behind_the_block() -> None:
    with watched_loop() as steps:
        await trio.lowlevel.checkpoint()
    burn(1.5 * LONG_STEP)
    await trio.lowlevel.checkpoint()
    assert steps.slow == []
