"""One statement on its way through a database: turn, lane, worker, answer, and the way back from each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import attrs
import trio

from kuzu_node.core.frames import FrameError
from kuzu_node.core.messages import Executed, Failed, Run
from kuzu_node.engine.answer import Answer, Outcome, read_outcome, whole
from kuzu_node.engine.deliveries import Deliveries, NoRoom, Place
from kuzu_node.engine.lanes import Lane, LaneFailed, NotSent
from kuzu_node.engine.openings import Openings
from kuzu_node.engine.presence import Presence
from kuzu_node.engine.process import CallFailed, WorkerDied
from kuzu_node.engine.quarantine import Quarantine
from kuzu_node.engine.translate import pool_exhausted, statement_error, worker_lost
from kuzu_node.engine.turn import Locks, Turn
from kuzu_node.engine.values import State, Timing
from kuzu_node.engine.worker import Worker
from kuzu_node.errors import Forbidden, Unavailable

# The engine's own timeout is a second line behind the node's interrupt, so it comes a little later.
_ENGINE_LATER_MS = 250


class Committing(Protocol):
    """A request that keeps track of what became of it."""

    committed: bool | None


@attrs.define(eq=False)
class OwnRequest:
    """Of the node itself: nothing is written by it."""

    committed: bool | None = False


@attrs.define(eq=False)
class Pin:
    """A lane that one session keeps, because something in the engine belongs to its Connection; none at first."""

    worker: Worker | None = None
    lane: Lane | None = None

    def lane_of(self, worker: Worker) -> Lane:
        """Raises Unavailable when the database has another worker by now."""
        if self.lane is None or self.worker is not worker:
            detail = "the worker that had the projected graphs of this session is gone: open another session"
            raise Unavailable(detail, code="database_restarting", committed=False, is_statement=True, retry_after=1)
        return self.lane


@attrs.define(eq=False)
class Floor:
    """Where the statements of one database meet."""

    presence: Presence
    locks: Locks
    deliveries: Deliveries
    openings: Openings
    quarantine: Quarantine
    stall_timeout: float
    query_timeout: float
    transaction_idle: float
    transaction_longest: float


def engine_timeout_ms(longest: float) -> int:
    """What is left until the caller's deadline, at most `longest` seconds, for the engine.

    The HTTP edge sets the deadline of a short request lazily, so there may be none to see yet.
    """
    left = trio.current_effective_deadline() - trio.current_time()
    return int(min(max(left, 0.0), longest) * 1000) + _ENGINE_LATER_MS


class Execution:
    """`seat`, `perform`, `answer`, and in any case `finish`, which gives the lane back, drained.

    What is scarce goes back as soon as the statement has executed; only the lane, and a place among the
    deliveries, last until the rows are read.
    """

    def __init__(
        self, floor: Floor, request: Committing, fingerprint: str, *, write: bool, pin: Pin | None = None
    ) -> None:
        self._floor = floor
        self._request = request
        self._fingerprint = fingerprint
        self._write = write
        self._pin = pin
        self._turn = Turn(floor.locks)
        self._worker: Worker | None = None
        self._lane: Lane | None = None
        self._place: Place | None = None

    async def seat(self, *, gate: bool = True) -> Worker:
        """Waits for the database, the turn and a lane. Raises with nothing held; `finish` gives them back."""
        presence = self._floor.presence
        # Where nothing has to be waited for, nothing else would keep a cancelled request from running.
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            self._refuse_quarantined()
            await self.opened()
            await self._turn.acquire(write=self._write, gate=gate)
            worker = presence.usable()
            if self._turn.is_outdated:
                self._turn.release()
                continue
            if worker is not None and not (self._write and worker.tainted):
                try:
                    return await self._take_lane(worker)
                except WorkerDied:
                    # Nothing of the statement has run: the next worker will do.
                    continue
            self._turn.release()
            if worker is not None:
                await self._swapped(worker)

    async def _swapped(self, worker: Worker) -> None:
        """Waits for a worker in which no bulk statement has failed."""
        seconds = self._floor.locks.queue_timeout
        with trio.move_on_after(seconds):
            await self._floor.presence.wait_swapped(worker)
            return
        detail = f"a bulk statement has failed, and the worker was not changed for a fresh one within {seconds:g} s"
        raise Unavailable(detail, code="database_restarting", committed=False, is_statement=True, retry_after=1)

    async def _take_lane(self, worker: Worker) -> Worker:
        """Raises with nothing held."""
        try:
            self._refuse_degraded()
            self._floor.presence.enter(trio.current_time())
            worker.enter()
            self._worker = worker
            pin = self._pin
            self._lane = await worker.lanes.take() if pin is None or pin.lane is None else pin.lane_of(worker)
        except CallFailed as error:
            self.leave()
            error.failed.committed = False
            raise statement_error(error.failed) from error
        except BaseException:
            self.leave()
            raise
        return worker

    async def opened(self) -> Worker:
        """The worker. Waits as long as databases open one after another, and for the queue's time if none does.

        A place, and a worker, go to those who wait in the order in which they came, so who is in a line that moves
        gets there; the request's own deadline bounds it all the same.
        """
        presence, openings, patience = self._floor.presence, self._floor.openings, self._floor.locks.queue_timeout
        worker = presence.usable()
        if worker is not None:
            return worker
        began = trio.current_time()
        while trio.current_time() < max(began, openings.moved_at) + patience:
            with trio.move_on_at(max(began, openings.moved_at) + patience):
                worker = await presence.wait_usable()
                openings.moved()
                return worker
        detail = f"the database is {presence.state.value} and was not ready within {patience:g} s"
        raise Unavailable(detail, code="database_restarting", committed=False, is_statement=True, retry_after=1)

    def _refuse_quarantined(self) -> None:
        left = self._floor.quarantine.refused_for(self._fingerprint, trio.current_time())
        if left:
            detail = "this statement has ended the database's worker twice and is refused for a while"
            raise Unavailable(
                detail, code="statement_quarantined", committed=False, is_statement=True, retry_after=left
            )

    def _refuse_degraded(self) -> None:
        presence = self._floor.presence
        if self._write and presence.state is State.DEGRADED:
            detail = f"the database is read-only for now: {presence.last_error}"
            raise Forbidden(detail, code="read_only", committed=False, is_statement=True)

    async def perform(self, order: Run) -> Outcome:
        """Runs the order in the lane. Raises node errors; cancellation interrupts the engine first."""
        worker, lane = self._worker, self._lane
        assert worker is not None
        assert lane is not None
        request_id = worker.next_request_id()
        worker.executing[request_id] = self._fingerprint
        if self._write:
            self._request.committed = None
        try:
            outcome = await self._outcome(worker, lane, request_id, order)
        except LaneFailed as error:
            self._request.committed = error.failed.committed
            del worker.executing[request_id]
            raise statement_error(error.failed) from error
        except NotSent as error:
            del worker.executing[request_id]
            self._request.committed = False
            raise worker_lost(error.status, committed=False) from error
        except WorkerDied as error:
            # What was executing stays on the list: the supervisor reads it for the quarantine.
            raise worker_lost(error.status, committed=None if self._write else False) from error
        except BaseException:
            # Cancelled, or a fault of the node itself: no suspect of a later death.
            await self._abandon(worker, lane)
            worker.executing.pop(request_id, None)
            raise
        del worker.executing[request_id]
        self._floor.quarantine.succeeded(self._fingerprint)
        self._request.committed = self._write
        if outcome.executed.key_types is not None:
            # After DDL the worker reports the key types as they are now.
            worker.key_types = outcome.executed.key_types
        return outcome

    async def _outcome(self, worker: Worker, lane: Lane, request_id: int, order: Run) -> Outcome:
        frame = await worker.run(lane, request_id, order)
        try:
            return read_outcome(frame)
        except FrameError as error:
            raise await worker.process.distrust(error) from error

    async def _abandon(self, worker: Worker, lane: Lane) -> None:
        """After a time-out or a disconnect: the lane comes back at rest, or the worker is gone."""
        if not lane.request_id:
            return
        with trio.CancelScope(shield=True):
            try:
                last = await worker.abandon(lane, self._fingerprint)
            except WorkerDied:
                return
        if isinstance(last, Failed):
            self._request.committed = last.committed if last.committed is not None else (None if self._write else False)
        elif last is not None:
            self._request.committed = self._write

    async def answer(self, outcome: Outcome, queue_ms: float) -> Answer:
        """Everything but the lane goes back now, and the lane with a whole body."""
        if outcome.body is not None:
            self.leave()
            return whole(outcome.executed, outcome.body, queue_ms)
        self._turn.release_gate()
        self._turn.release_writer()
        await self._enter_deliveries(outcome.executed, committed=self._write)
        self._turn.release()
        return self._undelivered(outcome.executed, queue_ms, self.finish, committed=self._write)

    async def _enter_deliveries(self, executed: Executed, *, committed: bool) -> None:
        try:
            self._place = await self._floor.deliveries.enter(executed.row_count * max(1, len(executed.columns)))
        except NoRoom:
            detail = "too many results wait for readers who are slow or have stopped"
            raise pool_exhausted(detail, committed=committed) from None

    def _undelivered(
        self, executed: Executed, queue_ms: float, finish: Callable[[], Awaitable[None]], *, committed: bool
    ) -> Answer:
        assert self._lane is not None
        timing = Timing(queue_ms=queue_ms, execute_ms=executed.execute_ms, encode_ms=0.0)
        return Answer(
            tuple(executed.columns),
            executed.row_count,
            timing,
            None,
            self._lane,
            self._place,
            finish,
            self._floor.stall_timeout,
            committed,
        )

    async def finish(self) -> None:
        """Gives everything back; rows that nobody has read are dropped first."""
        try:
            await self._drain()
        finally:
            # Also where the node is at fault: nothing else gives these back.
            self.leave()

    async def _drain(self) -> None:
        """The lane is at rest afterwards, or its worker gone."""
        lane, worker = self._lane, self._worker
        if lane is not None and worker is not None and lane.request_id and worker.process.alive:
            with trio.CancelScope(shield=True), suppress(WorkerDied):
                await worker.abandon(lane, self._fingerprint)

    def leave(self) -> None:
        """What is left of turn, place, lane and use, without waiting."""
        self._turn.release()
        self._leave_deliveries()
        worker, self._worker = self._worker, None
        lane, self._lane = self._lane, None
        if worker is not None:
            if lane is not None and (self._pin is None or lane is not self._pin.lane):
                worker.lanes.give_back(lane)
            worker.leave()
            self._floor.presence.leave(trio.current_time())
        else:
            self._floor.presence.unused()

    def _leave_deliveries(self) -> None:
        if self._place is not None:
            self._floor.deliveries.leave(self._place)
            self._place = None

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def is_pinned(self) -> bool:
        return self._pin is not None

    @property
    def request(self) -> Committing:
        return self._request

    @property
    def turn(self) -> Turn:
        return self._turn

    @property
    def lane(self) -> Lane:
        assert self._lane is not None
        return self._lane
