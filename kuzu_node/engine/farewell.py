"""Workers that are seen off: they end what their readers have begun, while the next one serves the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import psutil
import structlog
import trio

from kuzu_node.core.groups import unwrapped
from kuzu_node.engine import files
from kuzu_node.engine.checkpoints import Checkpoints
from kuzu_node.engine.openings import Openings
from kuzu_node.engine.presence import Presence
from kuzu_node.engine.process import WorkerDied
from kuzu_node.engine.worker import Worker

MOST_SEEN_OFF = 2
# What one of them may have of the buffer pool's size in memory where the node has no place for a second worker.
MOST_OF_POOL = 0.5
# A file that shares no blocks with its copy: so much is copied in about a second, which a write may wait.
MOST_COPIED = 512 * 1024 * 1024

log = structlog.get_logger()


@attrs.define(eq=False)
class Farewells:
    """Of one database. The worker that is seen off neither writes nor checkpoints any more.

    It reads the main file that it has open, which has lost its name to an equal one. It does not look at the log.
    """

    presence: Presence
    openings: Openings
    checkpoints: Checkpoints
    _changed: trio.Event = attrs.field(factory=trio.Event)

    async def prepare(self, worker: Worker) -> bool:
        """Makes room for a next worker beside this one. Whether that could be done.

        Nobody checkpoints meanwhile, and this one neither writes nor checkpoints afterwards.
        """
        folder, checkpoints = self.checkpoints.folder, self.checkpoints
        if len(self.presence.seen_off) >= MOST_SEEN_OFF:
            return False
        if not checkpoints.reflink and files.size(folder.file) > MOST_COPIED:
            return False
        if not self.openings.has_room() and _resident_bytes(worker) > MOST_OF_POOL * checkpoints.pool_bytes:
            return False
        try:
            async with checkpoints.marking:
                await trio.to_thread.run_sync(files.replace_file, folder, limiter=checkpoints.disk)
        except OSError as error:
            log.warning("worker_not_seen_off", database=self.presence.graph_id, error=str(error))
            return False
        return True

    async def see_off(self, worker: Worker) -> None:
        """Until its last reader has gone, then it is killed: closing would free what a failed COPY has broken.

        Raises WorkerDied when it ends before.
        """
        presence = self.presence
        presence.seen_off.append(worker)
        log.info("worker_seen_off", database=presence.graph_id, pid=worker.process.pid, users=worker.users)
        try:
            with self.openings.further_place():
                async with while_alive(worker):
                    await presence.wait_replaced(worker)
                    await worker.wait_unused()
        finally:
            worker.process.kill()
            presence.seen_off.remove(worker)
            changed, self._changed = self._changed, trio.Event()
            changed.set()

    async def wait_over(self) -> None:
        """Until no worker is being seen off."""
        while self.presence.seen_off:
            await self._changed.wait()

    def end_now(self) -> None:
        """Their readers lose their results."""
        for worker in self.presence.seen_off:
            worker.process.kill()


@asynccontextmanager
async def while_alive(worker: Worker) -> AsyncIterator[trio.Nursery]:
    """Raises WorkerDied when the worker ends within the block. The nursery's tasks end with the block."""
    with unwrapped():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch_death, worker, name=f"reaper {worker.process.pid}")
            yield nursery
            nursery.cancel_scope.cancel()


def _resident_bytes(worker: Worker) -> int:
    try:
        return int(psutil.Process(worker.process.pid).memory_info().rss)
    except (psutil.Error, OSError):
        # It has just ended, or no descriptor is left to look at it with.
        return 0


async def _watch_death(worker: Worker) -> None:
    raise WorkerDied(await worker.process.reap())
