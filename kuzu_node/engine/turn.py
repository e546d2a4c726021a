"""A request's turn on a database: the writer lock if it writes, a slot, the gate; always in this order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import attrs
import trio

from kuzu_node.engine.gate import Gate
from kuzu_node.engine.translate import pool_exhausted
from kuzu_node.errors import Unavailable

# Not trio.Lock, which only the task that has taken it may give back: a session's transaction is begun by the task of
# its messages, and may be ended by the one that watches its time.
Lock: TypeAlias = trio.Semaphore


def _lock() -> Lock:
    return Lock(1, max_value=1)


@attrs.define(eq=False)
class Locks:
    """What the requests of one database contend for. `maintenance` comes before `writer`: it guards `aside/`.

    Each worker has a gate of its own: who still reads in the one before holds up no checkpoint of this one.
    `checkpoints_waiting` counts those who need the gate for themselves and may not have it yet. `transactions` are the
    open ones of sessions; each holds a slot.
    """

    slots: trio.CapacityLimiter
    queue_timeout: float
    queue_length: int
    writer: Lock = attrs.field(factory=_lock)
    maintenance: Lock = attrs.field(factory=_lock)
    gate: Gate = attrs.field(factory=Gate)
    waiting: int = 0
    transactions: int = 0
    checkpoints_waiting: int = 0
    _changed: trio.Event = attrs.field(factory=trio.Event)

    @contextmanager
    def checkpoint_waits(self) -> Iterator[None]:
        """Idle transactions of sessions give way to whoever is in the block."""
        self.checkpoints_waiting += 1
        changed, self._changed = self._changed, trio.Event()
        changed.set()
        try:
            yield
        finally:
            self.checkpoints_waiting -= 1

    async def wait_checkpoint_waits(self) -> None:
        while not self.checkpoints_waiting:
            await self._changed.wait()

    async def acquire_maintenance(self) -> None:
        """Waits no longer than for a turn to write. Raises Unavailable."""
        with trio.move_on_after(self.queue_timeout):
            await self.maintenance.acquire()
            return
        detail = "a bulk statement, a checkpoint or a session's transaction that may write"
        raise pool_exhausted(f"{detail} has not ended within {self.queue_timeout:g} s")


class Turn:
    """Held by one task. `release_*` may be called in any order and twice; `release` gives back what is left."""

    __slots__ = ("_gate", "_locks", "_slot", "_writer")

    def __init__(self, locks: Locks) -> None:
        self._locks = locks
        self._writer = self._slot = False
        self._gate: Gate | None = None

    async def acquire(self, *, write: bool, gate: bool = True) -> None:
        """Waits at most the queue's time for all of them, then raises Unavailable with nothing held."""
        if self._try(write=write, gate=gate):
            return
        locks = self._locks
        if locks.waiting >= locks.queue_length:
            self.release()
            raise Unavailable(
                f"{locks.waiting} statements wait for this database already",
                code="queue_full",
                committed=False,
                is_statement=True,
                retry_after=1,
            )
        locks.waiting += 1
        try:
            with trio.move_on_after(locks.queue_timeout) as scope:
                await self._wait(write=write, gate=gate)
        except BaseException:
            self.release()
            raise
        finally:
            locks.waiting -= 1
        if scope.cancelled_caught:
            missing = self._missing(write=write)
            self.release()
            raise pool_exhausted(f"no {missing} became free within {locks.queue_timeout:g} s")

    def _try(self, *, write: bool, gate: bool) -> bool:
        """What can be had without waiting, in order; whether that is all."""
        locks = self._locks
        try:
            if write:
                locks.writer.acquire_nowait()
                self._writer = True
            locks.slots.acquire_on_behalf_of_nowait(self)
            self._slot = True
        except trio.WouldBlock:
            return False
        if gate and locks.gate.enter_nowait():
            self._gate = locks.gate
        return self._gate is not None or not gate

    async def _wait(self, *, write: bool, gate: bool) -> None:
        locks = self._locks
        if write and not self._writer:
            await locks.writer.acquire()
            self._writer = True
        if not self._slot:
            await locks.slots.acquire_on_behalf_of(self)
            self._slot = True
        if gate:
            await self.enter_gate()

    def _missing(self, *, write: bool) -> str:
        if write and not self._writer:
            return "turn to write"
        return "way past a checkpoint" if self._slot else "connection"

    async def enter_gate(self) -> None:
        """For a turn that was acquired without it."""
        if self._gate is None:
            gate = self._locks.gate
            await gate.enter()
            self._gate = gate

    @property
    def is_outdated(self) -> bool:
        """Whether it has passed the gate of a worker that was replaced since."""
        return self._gate is not None and self._gate is not self._locks.gate

    def release_gate(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.leave()

    def release_writer(self) -> None:
        if self._writer:
            self._writer = False
            self._locks.writer.release()

    def release(self) -> None:
        """In the reverse order."""
        self.release_gate()
        if self._slot:
            self._slot = False
            self._locks.slots.release_on_behalf_of(self)
        self.release_writer()
