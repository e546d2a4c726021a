"""Workers started ahead: the next database opens in one whose imports are done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
import trio

from kuzu_node.core.messages import Hello
from kuzu_node.engine.process import WorkerDied, WorkerProcess, open_process

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0

log = structlog.get_logger()


class Handover:
    """A spare and the event that ends its keeper's care for it."""

    def __init__(self, process: WorkerProcess) -> None:
        self.process = process
        self.released = trio.Event()


class Spares:
    """`worker()` lends a fresh process; leaving the block closes it. `hello` is what the first one said of itself."""

    def __init__(self, receive: trio.MemoryReceiveChannel[Handover], hello: Hello) -> None:
        self._receive = receive
        self.hello = hello

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[WorkerProcess]:
        """Waits while none is ready."""
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
    sandbox: str,
    base_path: Path,
    send: trio.MemorySendChannel[Handover],
    *,
    task_status: trio.TaskStatus[Hello] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Keeps one spare ready. Started when the first is, whose failure is the caller's; later ones are retried."""
    first = True
    pause = _FIRST_PAUSE
    while True:
        try:
            handover = await nursery.start(run_spare, sandbox, base_path, name="spare")
        except (WorkerDied, trio.TooSlowError, OSError) as error:
            if first:
                raise
            log.warning("spare_failed", error=str(error), retry_in=pause)
            await trio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            continue
        if first:
            first = False
            task_status.started(handover.process.hello)
        if await _offer(send, handover):
            pause = _FIRST_PAUSE
            continue
        handover.released.set()
        log.warning("spare_died", status=handover.process.popen.returncode, retry_in=pause)
        await trio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


async def _offer(send: trio.MemorySendChannel[Handover], handover: Handover) -> bool:
    """Whether somebody has taken it; False when it died before."""
    taken = False
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            await handover.process.reap()
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch, name="reaper spare")
        await send.send(handover)
        taken = True
        nursery.cancel_scope.cancel()
    return taken


async def run_spare(
    sandbox: str, base_path: Path, *, task_status: trio.TaskStatus[Handover] = trio.TASK_STATUS_IGNORED
) -> None:
    """Owns one process from its start to its end."""
    async with open_process(sandbox, base_path) as process:
        handover = Handover(process)
        task_status.started(handover)
        await handover.released.wait()


@asynccontextmanager
async def open_spares(sandbox: str, base_path: Path) -> AsyncIterator[Spares]:
    """Raises WorkerDied when not even the first worker starts."""
    send, receive = trio.open_memory_channel[Handover](0)
    async with trio.open_nursery() as nursery:
        hello = await nursery.start(run_keeper, nursery, sandbox, base_path, send)
        yield Spares(receive, hello)
        nursery.cancel_scope.cancel()
