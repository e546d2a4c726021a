"""The task of one database: it opens the worker when somebody asks, watches it, and opens it again when it dies."""

from __future__ import annotations

import enum
import math
from contextlib import suppress

import attrs
import structlog
import trio

from kuzu_node.core.messages import Assign
from kuzu_node.engine import files
from kuzu_node.engine.checkpoints import Checkpoints, worth_closing_with
from kuzu_node.engine.execution import Floor
from kuzu_node.engine.farewell import Farewells, while_alive
from kuzu_node.engine.gate import Gate
from kuzu_node.engine.openings import Openings, Tenant
from kuzu_node.engine.process import CallFailed, WorkerDied, WorkerProcess
from kuzu_node.engine.spares import Spares
from kuzu_node.engine.values import State
from kuzu_node.engine.worker import Worker, open_worker

FAILURES_IN_A_ROW = 3
CHECKPOINT_CRASHES = 2
FIRST_RETRY = 5.0
LONGEST_RETRY = 300.0
# A write that waits for a swap should not wait long: for so long readers come and go as they like, and then those who
# are still there are seen off ..
SWAP_PATIENCE = 0.25
# .. or, where that cannot be, have so long to finish, while new ones wait.
SWAP_LAST_CALL = 2.0
IDLE_CHECKPOINT_SECONDS = 5.0
_DISK_PAUSE = 30.0

log = structlog.get_logger()


class Reason(enum.Enum):
    """Why the supervisor ends a worker that is well."""

    IDLE = "idle"
    EVICTED = "evicted"
    SWAP = "swap"
    CLOSING = "closing"


_WHEN_UNUSED = frozenset({Reason.IDLE, Reason.EVICTED})


@attrs.define(eq=False)
class Supervisor:
    """`reopen` tries a failed or degraded database at once; `closing` ends the task in order.

    `discard`: the files are about to go, so closing does not checkpoint.
    """

    floor: Floor
    checkpoints: Checkpoints
    spares: Spares
    openings: Openings
    assign: Assign
    kill_grace: float
    slots: int
    idle_seconds: float
    closing: trio.Event = attrs.field(factory=trio.Event)
    closed: trio.Event = attrs.field(factory=trio.Event)
    discard: bool = False
    _reopen: trio.Event = attrs.field(factory=trio.Event)
    farewells: Farewells = attrs.field(init=False)
    _opening: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _has_opened: bool = False
    _process: WorkerProcess | None = None
    _failures: int = 0
    _retry: float = FIRST_RETRY

    def __attrs_post_init__(self) -> None:
        self.farewells = Farewells(self.floor.presence, self.openings, self.checkpoints)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ends when `closing` is set and the worker is closed."""
        task_status.started()
        presence = self.floor.presence
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._stop_opening, name=f"closing {presence.graph_id}")
                while await self._wanted():
                    self._has_opened = False
                    with trio.CancelScope() as self._opening:
                        await self._live(nursery)
                    if self._opening.cancelled_caught:
                        presence.move(State.CLOSED)
                    if presence.state is not State.FAILED:
                        presence.no_longer_wanted()
                if presence.handing_over:
                    presence.move(State.CLOSED)
                await self.farewells.wait_over()
                nursery.cancel_scope.cancel()
        finally:
            self.closed.set()

    async def _stop_opening(self) -> None:
        """A database that is to close waits neither for a place nor for a spare."""
        await self.closing.wait()
        if not self._has_opened:
            self._opening.cancel()

    async def _wanted(self) -> bool:
        """Waits for somebody who needs the database; False when it is closing instead."""
        async with trio.open_nursery() as nursery:

            async def until(event_wait: trio.Event) -> None:
                await event_wait.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(until, self.closing)
            presence = self.floor.presence
            if presence.state is State.FAILED:
                nursery.start_soon(until, self._reopen)
                await trio.sleep_until(presence.retry_at or math.inf)
            elif presence.state is not State.RESTARTING and not presence.handing_over:
                await presence.wait_wanted()
            nursery.cancel_scope.cancel()
        self._reopen = trio.Event()
        return not self.closing.is_set()

    async def _live(self, nursery: trio.Nursery) -> None:
        """One worker from its opening until there may be another one."""
        presence = self.floor.presence
        async with self.openings.place(presence) as tenant:
            reason = await nursery.start(self._run_worker, tenant, name=f"worker {presence.graph_id}")
            if reason is not None:
                presence.move(State.RESTARTING if reason is Reason.SWAP else State.CLOSED)
                log.info("database_closed", database=presence.graph_id, reason=reason.value)

    async def _run_worker(self, tenant: Tenant, *, task_status: trio.TaskStatus[Reason | None]) -> None:
        """One worker from its opening to its end. Started when it has ended, or is being seen off.

        That with the reason why it was closed, or None where the state of the database says the rest.
        """
        presence, worker, reason, seen_off = self.floor.presence, None, None, False
        if not presence.handing_over:
            presence.move(State.STARTING)
        try:
            await self._restore()
            async with (
                self.spares.worker() as self._process,
                open_worker(self._process, self.assign, slots=self.slots, kill_grace=self.kill_grace) as worker,
            ):
                self._opened(worker)
                reason = await self._attend(worker, tenant)
                if reason is Reason.SWAP and await self._hand_over(worker):
                    seen_off = True
                    task_status.started(None)
                    await self.farewells.see_off(worker)
        except (WorkerDied, CallFailed, OSError) as error:
            self._ended_badly(worker, error, seen_off=seen_off)
            reason = None
        except Exception as error:  # one database's fault stays its own: the others share this nursery
            log.exception("supervisor_fault", database=presence.graph_id)
            self._ended_badly(worker, error, seen_off=seen_off)
            reason = None
        if not seen_off:
            task_status.started(reason)

    async def _restore(self) -> None:
        """Only the waiting may be left behind in its thread: by then the folder may be gone, or another database's."""
        await trio.to_thread.run_sync(files.wait_without_owner, self.checkpoints.folder, abandon_on_cancel=True)
        if await self.checkpoints.restore():
            log.warning("pair_restored", database=self.floor.presence.graph_id)

    def _opened(self, worker: Worker) -> None:
        presence = self.floor.presence
        self._failures, self._retry = 0, FIRST_RETRY
        presence.retry_at = None
        presence.swap_wanted = trio.Event()
        self._has_opened = True
        self.floor.locks.gate = Gate()
        self.checkpoints.measure()
        degraded = self.checkpoints.crashes >= CHECKPOINT_CRASHES
        presence.move(State.DEGRADED if degraded else State.READY, worker=worker)
        log.info("database_opened", database=presence.graph_id, pid=worker.process.pid, state=presence.state.value)

    def _ended_badly(self, worker: Worker | None, error: Exception, *, seen_off: bool) -> None:
        """The worker died, or never opened the database. One that was seen off has taken only its readers along."""
        presence, now = self.floor.presence, trio.current_time()
        if worker is not None:
            in_flight = len(worker.executing)
            log.warning(
                "worker_died", database=presence.graph_id, error=str(error), in_flight=in_flight, seen_off=seen_off
            )
            suspects = {worker.culprit} if worker.culprit else set(worker.executing.values())
            self.floor.quarantine.died(suspects, now)
        if seen_off:
            return
        presence.last_error = str(error)
        if worker is not None:
            presence.restarts += 1
            presence.move(State.RESTARTING)
            return
        self._failures += 1
        if self._failures < FAILURES_IN_A_ROW:
            presence.move(State.RESTARTING)
        else:
            presence.retry_at = now + self._retry
            self._retry = min(2 * self._retry, LONGEST_RETRY)
            presence.move(State.FAILED)
        log.error("opening_failed", database=presence.graph_id, error=str(error), failures=self._failures)

    async def _attend(self, worker: Worker, tenant: Tenant) -> Reason:
        """Until there is a reason to close a worker that is well. Raises WorkerDied."""
        presence = self.floor.presence
        async with while_alive(worker) as nursery:
            nursery.start_soon(self._maintain, worker, name=f"checkpoints {presence.graph_id}")
            reason = await self._reason_to_close(tenant)
            while presence.users and reason in _WHEN_UNUSED:
                # Somebody came between the decision and its being carried out.
                tenant.evict = trio.Event()
                reason = await self._reason_to_close(tenant)
            if reason is not Reason.SWAP:
                presence.begin_leaving()
                await presence.wait_empty()
        if reason is not Reason.SWAP:
            await self._checkpoint_at_close(worker)
        return reason

    async def _reason_to_close(self, tenant: Tenant) -> Reason:
        presence = self.floor.presence
        reasons: list[Reason] = []
        while not reasons:
            async with trio.open_nursery() as nursery:

                async def until(event: trio.Event, reason: Reason) -> None:
                    await event.wait()
                    reasons.append(reason)
                    nursery.cancel_scope.cancel()

                nursery.start_soon(until, presence.swap_wanted, Reason.SWAP)
                nursery.start_soon(until, tenant.evict, Reason.EVICTED)
                nursery.start_soon(until, self.closing, Reason.CLOSING)
                idle_until = presence.last_used + self.idle_seconds
                await trio.sleep_until(max(idle_until, trio.current_time() + self.idle_seconds / 10))
                if not presence.users and trio.current_time() >= presence.last_used + self.idle_seconds:
                    reasons.append(Reason.IDLE)
                nursery.cancel_scope.cancel()
        return reasons[0]

    async def _hand_over(self, worker: Worker) -> bool:
        """Whether it has readers left, and ends what they have begun beside the next one. Raises WorkerDied.

        Where that cannot be, those who take long are cut off, since a write waits. Nothing checkpoints any more here.
        """
        presence = self.floor.presence
        async with while_alive(worker):
            with trio.move_on_after(SWAP_PATIENCE):
                await worker.wait_unused()
            if worker.users and await self.farewells.prepare(worker):
                presence.begin_handing_over()
                return True
            presence.begin_leaving()
            with trio.move_on_after(SWAP_LAST_CALL):
                await worker.wait_unused()
        return False

    async def _maintain(self, worker: Worker) -> None:
        """A checkpoint when much has been written, or when nobody has used the database for a moment."""
        with suppress(WorkerDied):
            await self.checkpoints.opened(worker)
        while self.floor.presence.state is State.READY:
            with trio.move_on_after(IDLE_CHECKPOINT_SECONDS):
                await self.checkpoints.wait_grown()
            if worker.tainted:
                # Nothing more is written by it, and the fresh one replays the log.
                self._swap_at_rest(worker)
                continue
            if not self.checkpoints.is_due() and not self._rests():
                continue
            try:
                await self.checkpoints.run_due(worker)
            except WorkerDied:
                # The reaper tells it; two tellings would be a group.
                break
            except (OSError, CallFailed) as error:
                self.floor.presence.last_error = f"checkpoint postponed: {error}"
                log.error("checkpoint_postponed", database=self.floor.presence.graph_id, error=str(error))
                await trio.sleep(_DISK_PAUSE)
        await trio.sleep_forever()

    def _swap_at_rest(self, worker: Worker) -> None:
        """The engine frees what a failed COPY has broken; better not to wait for the next write with that."""
        if not worker.users:
            self.floor.presence.ask_to_swap()

    def _rests(self) -> bool:
        presence = self.floor.presence
        idle = not presence.users and trio.current_time() - presence.last_used >= IDLE_CHECKPOINT_SECONDS
        return idle and self._log_is_worth_it()

    def _log_is_worth_it(self) -> bool:
        folder = self.checkpoints.folder
        return worth_closing_with(
            file_bytes=files.size(folder.file), log_bytes=files.size(folder.log), reflink=self.checkpoints.reflink
        )

    async def _checkpoint_at_close(self, worker: Worker) -> None:
        if (
            self.discard
            or self.floor.presence.state is not State.READY
            or worker.tainted
            or not self._log_is_worth_it()
        ):
            return
        try:
            await self.checkpoints.run_at_close(worker)
        except OSError as error:
            # The log has everything; the next opening replays it.
            log.warning("checkpoint_at_close_failed", database=self.floor.presence.graph_id, error=str(error))

    def ask_to_reopen(self) -> None:
        self.checkpoints.crashes = 0
        self._failures, self._retry = 0, FIRST_RETRY
        presence = self.floor.presence
        if presence.state is State.DEGRADED:
            # Whoever asked waits for the next worker, not for the one that is read-only.
            presence.begin_leaving()
            presence.ask_to_swap()
        if presence.state is State.FAILED:
            # No longer failed until it has been tried: whoever asks next waits for the outcome.
            presence.move(State.RESTARTING)
            self._reopen.set()
        presence.want()

    async def end_now(self) -> None:
        """Kills the worker, also one that is opening the file. A checkpoint ends first."""
        worker = self.floor.presence.worker
        if worker is not None:
            await worker.wait_safe()
        if self._process is not None:
            self._process.kill()
        self.farewells.end_now()
