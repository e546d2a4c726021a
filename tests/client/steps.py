"""Interrupts what is awaited at one of its steps, on any loop: a step ends where the coroutine yields to the loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any

import anyio
import attrs


@attrs.define(eq=False)
class InterruptedAt:
    """Awaits `operation`; where that waits for the `step`th time, `interrupt` is called first. `reached`: it was."""

    operation: Awaitable[object]
    step: int
    interrupt: Callable[[], object]
    reached: bool = False

    def __await__(self) -> Generator[Any, Any, None]:
        inner = self.operation.__await__()
        said: Any = None
        failed: BaseException | None = None
        for count in range(1, 10_000):
            try:
                waits_for = inner.send(said) if failed is None else inner.throw(failed)
            except StopIteration:
                return
            if count == self.step:
                self.reached = True
                self.interrupt()
            said, failed = None, None
            try:
                said = yield waits_for
            except BaseException as error:
                failed = error


async def cancel_at(operation: Awaitable[object], step: int) -> bool:
    """Awaits it in a scope that is cancelled at its `step`th step; whether it came to its end before."""
    with anyio.CancelScope() as scope:
        await InterruptedAt(operation, step, scope.cancel)
    return not scope.cancel_called
