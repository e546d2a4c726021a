"""The worker of one open database: its process, its lanes and what is known of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import structlog
import trio

from kuzu_node.core import messages
from kuzu_node.core.frames import Frame
from kuzu_node.core.messages import Assign, Checkpoint, Commit, Failed, KeyTypes, Memory, Rollback, Run
from kuzu_node.engine.lanes import LANES_PER_SLOT, Lane, Lanes
from kuzu_node.engine.process import WorkerProcess

# Rows are made in steps that no interrupt stops, of a second or more where the machine is busy. Whoever has left them
# holds neither slot nor lock: no reason to end the worker under others so soon as under a statement.
DELIVERY_GRACE = 30.0

log = structlog.get_logger()


@attrs.define(eq=False)
class Worker:
    """`tainted`: a bulk statement has failed in it, so it is swapped before the next write.

    `indexes` are those at the opening, (table, kind): a statement that changes them taints the worker too.

    `users` are requests that hold it, from before they execute until their lane is back.

    `in_danger` is true while a kill could leave files that do not open: a checkpoint or the commit of a bulk statement.
    """

    process: WorkerProcess
    lanes: Lanes
    key_types: KeyTypes
    confined: bool
    kill_grace: float
    indexes: frozenset[tuple[str, str]] = frozenset()
    tainted: bool = False
    in_danger: bool = False
    executing: dict[int, str] = attrs.field(factory=dict)
    culprit: str | None = None
    users: int = 0
    _safe: trio.Event = attrs.field(factory=trio.Event)
    _request_id: int = 0
    _unused: trio.Event = attrs.field(factory=trio.Event)

    @property
    def text_indexed(self) -> bool:
        return any(kind == "FTS" for _, kind in self.indexes)

    def next_request_id(self) -> int:
        self._request_id = self._request_id % 0xFFFF_FFFF + 1
        return self._request_id

    def enter(self) -> None:
        self.users += 1

    def leave(self) -> None:
        self.users -= 1
        if not self.users:
            self._unused.set()

    async def wait_unused(self) -> None:
        while self.users:
            self._unused = trio.Event()
            await self._unused.wait()

    async def run(self, lane: Lane, request_id: int, order: Run) -> Frame:
        return await lane.run(request_id, order)

    async def abandon(self, lane: Lane, fingerprint: str) -> Frame | Failed | None:
        """Interrupts what runs in the lane and drains it; after the grace the worker is killed (None).

        The caller shields. The control lane is deaf during a checkpoint, so the grace begins anew behind one.
        """
        grace = max(self.kill_grace, DELIVERY_GRACE) if lane.delivering else self.kill_grace
        self.process.interrupt(lane.request_id)
        while True:
            with trio.move_on_after(grace):
                return await lane.drain()
            if not self.in_danger:
                break
            await self.wait_safe()
        self.culprit = fingerprint
        reason = "a statement ignored its interrupt"
        log.warning("worker_killed", database=self.process.database, pid=self.process.pid, reason=reason)
        self.process.kill()
        await self.process.reap()
        return None

    async def checkpoint(self) -> float:
        """Milliseconds. Under the exclusive gate, with the files set aside. Raises CallFailed, WorkerDied."""
        self._enter_danger()
        try:
            return await self.process.call(Checkpoint(), messages.decode_number)
        finally:
            self._leave_danger()

    async def commit(self, lane: Lane) -> None:
        """COMMIT and CHECKPOINT of the lane's open bulk statement; as `checkpoint`."""
        self._enter_danger()
        try:
            outcome = await self.process.call(Commit(lane.number), messages.decode_committed)
        finally:
            self._leave_danger()
        self.key_types = outcome.key_types

    async def roll_back(self, lane: Lane) -> None:
        await self.process.call(Rollback(lane.number), messages.decode_nothing)

    async def pool_in_use(self) -> int:
        """Bytes of the engine's buffer pool."""
        return int(await self.process.call(Memory(), messages.decode_number))

    async def wait_safe(self) -> None:
        """Until a kill leaves the files good."""
        while self.in_danger:
            await self._safe.wait()

    def _enter_danger(self) -> None:
        self.in_danger = True
        self._safe = trio.Event()

    def _leave_danger(self) -> None:
        self.in_danger = False
        self._safe.set()


@asynccontextmanager
async def open_worker(
    process: WorkerProcess, assign: Assign, *, slots: int, kill_grace: float
) -> AsyncIterator[Worker]:
    """Opens the database in a spare. Raises CallFailed, WorkerDied."""
    process.database = Path(assign.directory).name
    assigned = await process.call(assign, messages.decode_assigned)
    lanes = Lanes(process, slots * LANES_PER_SLOT)
    try:
        yield Worker(process, lanes, assigned.key_types, assigned.confined, kill_grace, frozenset(assigned.indexes))
    finally:
        lanes.close()
