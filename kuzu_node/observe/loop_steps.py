"""Tells of steps of the loop that kept it from everybody else: an Instrument of trio, for tests and for debugging."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import trio

log = structlog.get_logger()

LONG_STEP = 0.1
_SCHEDULER = "/proc/thread-self/schedstat"


class LoopSteps(trio.abc.Instrument):
    """`longest` in seconds, without the time in which the machine ran others in our place."""

    def __init__(self, scheduler: int | None) -> None:
        self.longest = 0.0
        self.slow: list[tuple[str, float]] = []
        self._scheduler = scheduler
        # The step in which it is put in has begun before: it does not count.
        self._started, self._waited = math.inf, 0.0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._started, self._waited = time.perf_counter(), self._queued()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        seconds = time.perf_counter() - self._started
        if seconds <= self.longest and seconds < LONG_STEP:
            return
        seconds -= self._queued() - self._waited
        self.longest = max(self.longest, seconds)
        if seconds >= LONG_STEP:
            self.slow.append((task.name, seconds))
            log.warning("loop_step", task=task.name, seconds=round(seconds, 3))

    def _queued(self) -> float:
        """Seconds for which this thread was ready and had no processor."""
        if self._scheduler is None:
            return 0.0
        return int(os.pread(self._scheduler, 128, 0).split()[1]) / 1e9


@contextmanager
def watched_loop() -> Iterator[LoopSteps]:
    """Inside the block every step of the running loop is timed."""
    try:
        scheduler: int | None = os.open(_SCHEDULER, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        scheduler = None
    steps = LoopSteps(scheduler)
    trio.lowlevel.add_instrument(steps)
    try:
        yield steps
    finally:
        trio.lowlevel.remove_instrument(steps)
        if scheduler is not None:
            os.close(scheduler)
