"""Cancels a piece of code at each of its checkpoints, one run after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import trio


@attrs.define(eq=False)
class CancelAtStep(trio.abc.Instrument):
    """Cancels `scope` just before the task takes its `step`-th step inside of it."""

    task: trio.lowlevel.Task
    scope: trio.CancelScope
    step: int
    taken: int = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self.taken += 1
            if self.taken == self.step:
                self.scope.cancel()


async def cancelled_at_every_checkpoint(run: Callable[[], Awaitable[object]], most: int = 200) -> int:
    """Runs until a run gets through uncancelled. Returns how many were cut off."""
    for step in range(1, most):
        with trio.CancelScope() as scope:
            instrument = CancelAtStep(trio.lowlevel.current_task(), scope, step)
            trio.lowlevel.add_instrument(instrument)
            try:
                await run()
            finally:
                trio.lowlevel.remove_instrument(instrument)
        if instrument.taken < step:
            return step - 1
    raise AssertionError(f"still going after {most} steps")
