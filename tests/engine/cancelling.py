"""Cancels an operation at each of its steps in turn: what it holds must be free again, wherever it was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import trio


@attrs.define(eq=False)
class _CancelAtStep(trio.abc.Instrument):
    scope: trio.CancelScope
    step: int
    task: trio.lowlevel.Task | None = None
    seen: int = 0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self.seen += 1
            if self.seen == self.step:
                self.scope.cancel()


async def cancel_at(operation: Callable[[], Awaitable[object]], step: int) -> bool:
    """Runs the operation in a task of its own, cancelled after its `step`th step; whether it came to its end before."""
    scope = trio.CancelScope()
    instrument = _CancelAtStep(scope, step)
    ended = False

    async def run() -> None:
        nonlocal ended
        instrument.task = trio.lowlevel.current_task()
        with scope:
            await operation()
            ended = True

    trio.lowlevel.add_instrument(instrument)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
    finally:
        trio.lowlevel.remove_instrument(instrument)
    return ended


async def cancel_everywhere(operation: Callable[[], Awaitable[None]], check: Callable[[], None], *, most: int) -> int:
    """Until the operation ends uncancelled; `check` runs after each time. How many steps it took."""
    for step in range(1, most):
        ended = await cancel_at(operation, step)
        check()
        if ended:
            return step
    raise AssertionError(f"the operation has more than {most} steps")
