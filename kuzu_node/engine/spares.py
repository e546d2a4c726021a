"""Workers started ahead: the next database opens in one whose imports are done."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import structlog
import trio

from kuzu_node.core.messages import Hello
from kuzu_node.engine.process import WorkerDied, WorkerProcess, open_process

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
MOST_AT_ONCE = 4

log = structlog.get_logger()


class Handover:
    """A spare and the event that ends its keeper's care for it."""

    def __init__(self, process: WorkerProcess) -> None:
        self.process = process
        self.released = trio.Event()


StartSpare = Callable[[], Awaitable[object]]


class Demand:
    """How many databases wait for a worker, and how many processes are on their way to one of them."""

    def __init__(self) -> None:
        self._waiting = 0
        self._coming = 0
        self._changed = trio.Event()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        self._count(waiting=1)
        try:
            yield
        finally:
            self._count(waiting=-1)

    @contextmanager
    def coming(self) -> Iterator[None]:
        """From the start of a process until somebody has it, or nobody wants it."""
        self._count(coming=1)
        try:
            yield
        finally:
            self._count(coming=-1)

    def _count(self, *, waiting: int = 0, coming: int = 0) -> None:
        self._waiting += waiting
        self._coming += coming
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    async def wait_short(self) -> None:
        while self._waiting <= self._coming:
            await self._changed.wait()

    async def wait_none(self) -> None:
        while self._waiting:
            await self._changed.wait()


class Spares:
    """`worker()` lends a fresh process; leaving the block closes it. `hello` is what the first one said of itself."""

    def __init__(self, receive: trio.MemoryReceiveChannel[Handover], demand: Demand, hello: Hello) -> None:
        self._receive = receive
        self._demand = demand
        self.hello = hello

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[WorkerProcess]:
        """Waits while none is ready, in the order of the calls."""
        with self._demand.waiting():
            handover = await self._receive.receive()
            while not handover.process.alive:
                handover.released.set()
                handover = await self._receive.receive()
        try:
            yield handover.process
        finally:
            await handover.process.close()
            handover.released.set()


async def run_keeper(
    nursery: trio.Nursery,
    start: StartSpare,
    send: trio.MemorySendChannel[Handover],
    demand: Demand,
    *,
    keep: bool,
    task_status: trio.TaskStatus[Hello],
) -> None:
    """Keeps one spare ready. Started when the first is, whose failure is the caller's; later ones are retried.

    Without `keep` only the first is; then this is one more helper.
    """
    with demand.coming():
        handover = await nursery.start(start, name="spare")
        task_status.started(handover.process.hello)
        await _offer(send, handover)
    while keep:
        with demand.coming():
            await _provide(nursery, start, send)
    await run_helper(nursery, start, send, demand)


async def run_helper(
    nursery: trio.Nursery, start: StartSpare, send: trio.MemorySendChannel[Handover], demand: Demand
) -> None:
    """Starts a process whenever more databases wait for one than are coming; keeps none that nobody wants."""
    while True:
        await demand.wait_short()
        with demand.coming():
            await _provide(nursery, start, send, until=demand.wait_none)


async def _provide(
    nursery: trio.Nursery,
    start: StartSpare,
    send: trio.MemorySendChannel[Handover],
    *,
    until: Callable[[], Awaitable[None]] = trio.sleep_forever,
) -> None:
    """One spare that somebody has taken, or that was not wanted any longer; with pauses while they fail."""
    pause = _FIRST_PAUSE
    while True:
        try:
            handover = await nursery.start(start, name="spare")
        except (WorkerDied, trio.TooSlowError, OSError) as error:
            log.warning("spare_failed", error=str(error), retry_in=pause)
        else:
            if await _offer(send, handover, until=until):
                return
            log.warning("spare_died", status=handover.process.popen.returncode, retry_in=pause)
        await trio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


async def _offer(
    send: trio.MemorySendChannel[Handover],
    handover: Handover,
    *,
    until: Callable[[], Awaitable[None]] = trio.sleep_forever,
) -> bool:
    """Until somebody has taken it, or `until` comes back, which closes it; False when it died before."""
    taken = unwanted = False
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            await handover.process.reap()
            nursery.cancel_scope.cancel()

        async def give_up() -> None:
            nonlocal unwanted
            await until()
            unwanted = True
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch, name="reaper spare")
        nursery.start_soon(give_up, name="demand for spares")
        await send.send(handover)
        # Whoever takes it may also be why it is no longer wanted: only this line tells the two apart.
        taken = True
        nursery.cancel_scope.cancel()
    if not taken:
        handover.released.set()
    return taken or unwanted


async def run_spare(
    sandbox: str, base_path: Path, *, task_status: trio.TaskStatus[Handover] = trio.TASK_STATUS_IGNORED
) -> None:
    """Owns one process from its start to its end."""
    async with open_process(sandbox, base_path) as process:
        handover = Handover(process)
        task_status.started(handover)
        await handover.released.wait()


@asynccontextmanager
async def open_spares(sandbox: str, base_path: Path, *, keep: bool = True) -> AsyncIterator[Spares]:
    """Raises WorkerDied when not even the first worker starts.

    A process takes a quarter of a second of one core to start, so a burst of openings is met by as many at once as
    the machine has cores, up to MOST_AT_ONCE.
    """
    send, receive = trio.open_memory_channel[Handover](0)
    demand, start = Demand(), partial(run_spare, sandbox, base_path)
    async with trio.open_nursery() as nursery:
        hello = await nursery.start(partial(run_keeper, keep=keep), nursery, start, send, demand)
        for number in range(1, min(MOST_AT_ONCE, len(os.sched_getaffinity(0)))):
            nursery.start_soon(run_helper, nursery, start, send, demand, name=f"spares at need {number}")
        yield Spares(receive, demand, hello)
        nursery.cancel_scope.cancel()
