"""Clocks that jump to the next timer when nothing else is left to do, for both backends of anyio.

Trio brings one; asyncio gets an event loop whose selector looks once for what is ready and then, instead of waiting for
a timer, moves the clock to it. Like Trio's with its threshold of 0 they are for fakes: they do not see that a thread
works or that a peer will answer in a moment. Nor could a short real look at the sockets tell, since how long an answer
takes is the machine's affair. So the loop refuses to jump while any file but its own wake-up pipe is watched.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import attrs
from trio.testing import MockClock

BACKENDS = ("asyncio", "trio")


class JumpingClock(Protocol):
    def jump(self, seconds: float) -> None:
        """Move it, as if so much time had passed in which nobody ran."""


@attrs.define(eq=False)
class LoopClock:
    """Seconds since the loop began."""

    now: float = 0.0

    def jump(self, seconds: float) -> None:
        self.now += seconds


class JumpingSelector(selectors.DefaultSelector):
    def __init__(self, clock: LoopClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """The loop asks with 0 when callbacks are ready, with None when there are not even timers."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(0)
        if not ready:
            if len(self.get_map()) > 1:
                raise RuntimeError("a test on virtual time waits for a real file")
            self._clock.jump(timeout)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: LoopClock) -> None:
        self._clock = clock
        super().__init__(JumpingSelector(clock))

    def time(self) -> float:
        return self._clock.now


def jumping(backend: str) -> tuple[JumpingClock, tuple[str, Mapping[str, Any]]]:
    """A clock, and what the fixture `anyio_backend` has to give for a test to run on it. Both serve one test."""
    if backend == "trio":
        trios = MockClock(autojump_threshold=0)
        return trios, (backend, {"clock": trios})
    clock = LoopClock()
    return clock, (backend, {"loop_factory": partial(JumpingLoop, clock)})
