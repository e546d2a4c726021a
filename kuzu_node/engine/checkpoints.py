"""Checkpoints of one database: when one is due, and how its files are set aside while it runs."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import attrs
import structlog
import trio

from kuzu_node.engine import files
from kuzu_node.engine.files import Folder
from kuzu_node.engine.gate import HOLD_BACK, GateBusy
from kuzu_node.engine.process import CallFailed, WorkerDied
from kuzu_node.engine.turn import Locks
from kuzu_node.engine.worker import Worker
from kuzu_node.errors import NodeError

_MB = 1024 * 1024
_MOST_LOG_MB = 64
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 8.0
# Opening replays about 10 MB of log a second, a copy of the file runs at 500 MB/s or more: below this share of the
# file the log is cheaper to keep than to checkpoint when a database is closed.
_LOG_SHARE_AT_CLOSE = 1 / 50
# A checkpoint that had no room, or was refused for what is to be stored, is not tried again sooner.
_HELD_BACK = 30.0
# With less than this free, a worker that dies in a checkpoint has died of that.
_NO_ROOM = 256 * 1024
# A pool this full holds new statements back for as long as the checkpoint takes to get its way.
_POOL_FULL = 0.75

# Each update keeps a vector of every property that it sets in the pool until the next checkpoint, 17 to 33 kB and half
# of that beside it; its record in the log has some 50 bytes. Opening needs as much again for what the log gives back.
_UPDATE_BYTES = 32 * 1024
_MOST_OF_POOL = 1 / 2
_UPDATES = re.compile(r"\b(SET|MERGE)\b", re.IGNORECASE)

# The worker's code for a value with which no checkpoint works. It says so before it has changed anything.
UNSTORABLE = "unstorable"

log = structlog.get_logger()


class CheckpointPostponed(OSError):
    """The disk is full, or something cannot be stored. The log keeps everything; the worker may have been ended."""

    @property
    def is_unstorable(self) -> bool:
        """Then `strerror` says what helps."""
        return self.errno == errno.EINVAL


class MarkerStuck(Exception):
    """The checkpoint worked, but nobody knows whether its marker is gone: the next opening finds out."""


def due_bytes(*, setting_mb: int, file_bytes: int, pool_bytes: int, reflink: bool) -> int:
    """The size of the log from which a checkpoint is due. A copy of the file has to be worth its cost."""
    wanted = setting_mb * _MB
    if not reflink:
        wanted = max(wanted, file_bytes // 10)
    return min(wanted, _MOST_LOG_MB * _MB, pool_bytes // 8)


def updates_in(texts: Iterable[str]) -> int:
    """How many of the statements may change stored values."""
    return sum(_UPDATES.search(text) is not None for text in texts)


def worth_closing_with(*, file_bytes: int, log_bytes: int, reflink: bool) -> bool:
    """Whether a database that closes should checkpoint rather than have its log replayed at the next opening."""
    return log_bytes > 0 and (reflink or log_bytes >= file_bytes * _LOG_SHARE_AT_CLOSE)


@attrs.define(eq=False)
class Checkpoints:
    """`crashes` counts the workers in a row that died in a checkpoint; each success sets it back."""

    folder: Folder
    locks: Locks
    setting_mb: int
    pool_bytes: int
    reflink: bool
    disk: trio.CapacityLimiter
    crashes: int = 0
    last_ms: float | None = None
    marking: trio.Lock = attrs.field(factory=trio.Lock)
    _has_copy: bool = False
    _file_bytes: int = 0
    _updates: int = 0
    _overflowed: bool = False
    _grown: trio.Event = attrs.field(factory=trio.Event)
    _postponed: CheckpointPostponed | None = None
    _not_before: float = 0.0

    def measure(self) -> None:
        """Called when the main file may have changed its size."""
        self._file_bytes = files.size(self.folder.file)

    def succeeded(self) -> None:
        """One has stored everything."""
        self.crashes = self._updates = 0
        self._overflowed = False
        self.measure()

    def log_bytes(self) -> int:
        return files.size(self.folder.log)

    def is_due(self) -> bool:
        due = due_bytes(
            setting_mb=self.setting_mb, file_bytes=self._file_bytes, pool_bytes=self.pool_bytes, reflink=self.reflink
        )
        held = self._updates * _UPDATE_BYTES
        return self._overflowed or held >= _MOST_OF_POOL * self.pool_bytes or self.log_bytes() >= due

    async def opened(self, worker: Worker) -> None:
        """What the log has given back holds the pool as well. Raises WorkerDied."""
        self._overflowed = False
        self._updates = await self._pool_in_use(worker) // _UPDATE_BYTES if self.log_bytes() else 0
        self.wrote()

    async def _pool_in_use(self, worker: Worker) -> int:
        """All of it where the engine has no room even to say so. Raises WorkerDied."""
        try:
            return await worker.pool_in_use()
        except CallFailed:
            return self.pool_bytes

    def wrote(self, updates: int = 0) -> None:
        """A write has been acknowledged, with so many statements that may change stored values."""
        self._updates += updates
        if self.is_due():
            self._grown.set()

    def failed(self, error: NodeError) -> None:
        """A statement: where it found no room in the pool, what a checkpoint frees may be what it needs."""
        if error.code == "memory_exceeded" and self._updates:
            self._overflowed = True
            self._grown.set()

    async def wait_grown(self) -> None:
        """Until the log has become long enough for a checkpoint."""
        await self._grown.wait()
        self._grown = trio.Event()

    async def run_due(self, worker: Worker) -> None:
        """A checkpoint beside running readers: tries, lets them through, tries again. Raises WorkerDied, OSError."""
        pause = FIRST_PAUSE
        with self.locks.checkpoint_waits():
            while True:
                try:
                    await self.run(worker, patience=await self._patience(worker))
                except GateBusy:
                    await trio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                else:
                    return

    async def _patience(self, worker: Worker) -> float:
        full = await self._pool_in_use(worker) >= _POOL_FULL * self.pool_bytes
        return float("inf") if full else HOLD_BACK

    async def run(self, worker: Worker, *, patience: float = HOLD_BACK) -> None:
        """One try. Raises GateBusy, WorkerDied (also when the engine refused), OSError when it has to wait.

        Does nothing in a tainted worker.
        """
        self._refuse_too_soon()
        async with self.locks.maintenance:
            if worker.tainted:
                # By a bulk statement that had the lock before.
                return
            if not self._has_copy:
                await self.set_file_aside()
            async with self.locks.writer, self.locks.gate.exclusive(patience):
                with trio.CancelScope(shield=True):
                    await self.checkpoint_alone(worker)

    async def run_at_close(self, worker: Worker) -> None:
        """When the last user has gone and no new one is let in. Raises WorkerDied, OSError.

        Takes no locks: whoever holds one now is waiting for the next worker.
        """
        self._refuse_too_soon()
        with trio.CancelScope(shield=True):
            await self.set_file_aside()
            await self.checkpoint_alone(worker)

    async def checkpoint_alone(self, worker: Worker) -> None:
        """With the file set aside, the writer lock and the exclusive gate held, and the caller shielding."""
        refusal: CallFailed | None = None
        try:
            async with self.marked(worker):
                try:
                    self.last_ms = await worker.checkpoint()
                except CallFailed as error:
                    if error.failed.code != UNSTORABLE:
                        raise
                    # Nothing has been written; the worker is as good as before.
                    refusal = error
        except MarkerStuck as error:
            await self.give_up(worker)
            raise WorkerDied(await worker.process.reap()) from error
        except (WorkerDied, CallFailed) as error:
            await self.give_up(worker)
            if self._had_no_room(error):
                raise self._postpone(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            self.crashes += 1
            raise WorkerDied(await worker.process.reap()) from error
        if refusal is not None:
            raise self._postpone(errno.EINVAL, refusal.failed.detail) from refusal
        self._postponed = None
        self.succeeded()
        log.info("checkpoint", database=self.folder.root.name, duration_ms=round(self.last_ms or 0.0, 1))

    def _had_no_room(self, error: WorkerDied | CallFailed) -> bool:
        """A full disk is no fault of the database. The engine corrupts its heap at it, so it may die of it as well."""
        if isinstance(error, CallFailed):
            return error.failed.code == "disk_full"
        disk = os.statvfs(self.folder.root)
        return disk.f_bavail * disk.f_frsize < _NO_ROOM

    def _postpone(self, number: int, reason: str) -> CheckpointPostponed:
        self._postponed = CheckpointPostponed(number, reason)
        self._not_before = trio.current_time() + _HELD_BACK
        return self._postponed

    def _refuse_too_soon(self) -> None:
        """Each further try may cost a worker. Raises CheckpointPostponed."""
        if self._postponed is not None and trio.current_time() < self._not_before:
            raise CheckpointPostponed(self._postponed.errno, self._postponed.strerror) from self._postponed

    async def set_file_aside(self) -> None:
        """Copies the main file. The caller holds `maintenance`, so no checkpoint changes it meanwhile.

        The copy serves the next checkpoint too, if this one does not get its way.
        """
        self._has_copy = False
        await trio.to_thread.run_sync(files.set_file_aside, self.folder, limiter=self.disk)
        self._has_copy = True

    async def drop_copy(self) -> None:
        """After what was set aside has not been needed: a bulk statement that failed has changed the file."""
        if not self._has_copy:
            return
        self._has_copy = False
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(files.drop_unmarked, self.folder, limiter=self.disk)

    @asynccontextmanager
    async def marked(self, worker: Worker) -> AsyncIterator[None]:
        """Sets the log aside and marks the pair; unmarks it when the block ends well.

        Else the marker stays: whoever sees the exception ends the worker, and the next opening puts the pair back.
        Raises OSError when nothing has been marked, MarkerStuck when a marker may stand that should not, WorkerDied.
        """
        async with self.marking:
            # The supervisor looks for a marker under this lock before it opens the next worker: one that is
            # written for a dead worker after that would take back what the next one has acknowledged.
            if not worker.process.alive:
                raise WorkerDied(await worker.process.reap())
            self._has_copy = False
            try:
                await trio.to_thread.run_sync(files.set_log_aside, self.folder, limiter=self.disk)
            except OSError as error:
                if self.folder.marker.exists():
                    raise MarkerStuck(str(error)) from error
                raise
            try:
                yield
            except BaseException:
                # The marked pair wins from now on: nothing more may be acknowledged by this worker.
                worker.process.kill()
                raise
            try:
                await self.unmark()
            except OSError as error:
                raise MarkerStuck(str(error)) from error

    async def give_up(self, worker: Worker) -> None:
        """Kills the worker under a marked pair. It is never closed: closing would write to the files."""
        worker.process.kill()
        await worker.process.reap()

    async def restore(self) -> bool:
        """Before a worker opens the files: a marked pair goes back. Whether there was one."""
        async with self.marking:
            # A copy without a marker goes too, and a marker without the copy would bring back an old log alone.
            self._has_copy = False
            return await trio.to_thread.run_sync(files.restore_marked_pair, self.folder, limiter=self.disk)

    async def unmark(self) -> None:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(files.unmark, self.folder, limiter=self.disk)
