"""Statements whose rows are not in the log: acknowledged only after a checkpoint, with the files set aside before.

The order is maintenance lock, writer lock, slot; set aside; the statement beside readers where BEGIN is allowed;
the exclusive gate; COMMIT; CHECKPOINT. Whatever fails in between leaves either the live files or the marked pair good.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import structlog
import trio

from kuzu_node.core.messages import Run, RunBulk, RunQuery, RunTransaction
from kuzu_node.engine import replay
from kuzu_node.engine.answer import Answer, Outcome
from kuzu_node.engine.checkpoints import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    UNSTORABLE,
    CheckpointPostponed,
    Checkpoints,
    MarkerStuck,
)
from kuzu_node.engine.execution import Execution, Floor
from kuzu_node.engine.gate import GateBusy
from kuzu_node.engine.process import CallFailed, WorkerDied
from kuzu_node.engine.translate import disk_error, pool_exhausted, statement_error, worker_lost
from kuzu_node.engine.worker import Worker
from kuzu_node.errors import Conflict, NodeError

log = structlog.get_logger()


@attrs.define(eq=False)
class BulkStatements:
    """The ways through a database that end in a checkpoint. The Execution stays the caller's to finish."""

    floor: Floor
    checkpoints: Checkpoints

    async def run(self, execution: Execution, order: Run) -> Outcome:
        """A statement inside BEGIN and COMMIT: COPY and CREATE TABLE .. AS. Readers go on until the commit."""
        request = execution.request
        async with self._seated(execution) as worker:
            await self._set_file_aside()
            await execution.turn.enter_gate()
            try:
                try:
                    outcome = await self._perform(execution, worker, order)
                except NodeError as error:
                    # Its transaction has not been committed, however it ended.
                    error.committed = request.committed = False
                    raise
                finally:
                    execution.turn.release_gate()
                request.committed = False
                async with self._alone(execution):
                    with trio.CancelScope(shield=True):
                        await self._commit(execution, worker)
            except trio.Cancelled:
                # The interrupt may have come too late for the statement, which then waits for its COMMIT.
                request.committed = False
                await self._roll_back(execution, worker)
                raise
        return outcome

    async def run_alone(
        self,
        execution: Execution,
        order: Run,
        *,
        checkpoint_first: bool = False,
        drops_from: str = "",
        swap_after: bool = False,
    ) -> Answer:
        """Statements that commit by themselves and whose log must never be replayed.

        `checkpoint_first`: nor may the engine checkpoint them together with what is in the log already; so it is with
        a dropped column or index, and with nodes of a text index that are created and deleted between checkpoints.
        `drops_from`: the table that loses a column. `swap_after`: the process does not go on well behind them.

        Rows that do not fit one frame stay in the worker, which checkpoints beside them, until somebody reads them.
        """
        started = trio.current_time()
        async with self._seated(execution) as worker:
            # Of the worker that is seated now: the one before may have had other indexes.
            checkpoint_first = checkpoint_first or worker.text_indexed
            swap_after = swap_after or (worker.text_indexed and _has_several(order))
            _refuse_indexed(worker, drops_from)
            queue_ms = (trio.current_time() - started) * 1000
            await self._set_file_aside()
            async with self._alone(execution):
                if checkpoint_first:
                    with trio.CancelScope(shield=True):
                        await self._checkpoint(worker, committed=False)
                        await self._set_file_aside()
                outcome = await self._run_marked(execution, worker, order)
            worker.tainted = worker.tainted or swap_after
        return await execution.answer(outcome, queue_ms)

    async def commit_held(self, execution: Execution, worker: Worker) -> None:
        """The commit of a session's transaction whose log must not be replayed. It holds the locks but the exclusive
        gate; with a text index the worker does not go on well behind it.

        Not cancelled; it waits for readers no longer than one of them may take. Where it fails, the transaction is
        open still, or the worker gone.
        """
        seconds = self.floor.query_timeout
        try:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + seconds) as scope:
                await self._set_file_aside()
                execution.turn.release_gate()
                async with self._alone(execution):
                    with trio.CancelScope(shield=True):
                        await self._commit(execution, worker)
        finally:
            await self.checkpoints.drop_copy()
        if scope.cancelled_caught:
            raise _never_alone(seconds)
        worker.tainted = worker.tainted or worker.text_indexed

    async def checkpoint_first(self, execution: Execution, worker: Worker) -> None:
        """Before a transaction begins that holds the locks but the gate. Waits for readers as long as for a turn."""
        seconds = self.floor.locks.queue_timeout
        try:
            with trio.move_on_after(seconds) as scope:
                await self._set_file_aside()
                async with self._alone(execution):
                    with trio.CancelScope(shield=True):
                        await self._checkpoint(worker, committed=False)
        finally:
            await self.checkpoints.drop_copy()
        if scope.cancelled_caught:
            raise _never_alone(seconds)

    async def _run_marked(self, execution: Execution, worker: Worker, order: Run) -> Outcome:
        """The pair stays marked until the statement's own checkpoint is known to have worked."""
        request = execution.request
        failure: NodeError | trio.Cancelled | None = None
        outcome: Outcome | None = None
        try:
            async with self.checkpoints.marked(worker):
                try:
                    outcome = await self._perform(execution, worker, order)
                except NodeError as error:
                    if not worker.process.alive or not _left_nothing(order, error):
                        raise
                    failure = error
                except trio.Cancelled as error:
                    if not worker.process.alive or isinstance(order, RunBulk) or request.committed is not False:
                        raise
                    # It obeyed its interrupt and left nothing: no reason to end the worker under its readers.
                    failure = error
                with trio.CancelScope(shield=True):
                    await worker.checkpoint()
        except (WorkerDied, CallFailed, MarkerStuck) as error:
            raise await self._lost(execution, worker, error) from error
        except OSError as error:
            request.committed = False
            raise _disk_error(error) from error
        except (NodeError, trio.Cancelled) as error:
            # Interrupted half-way or dead: the marked pair is the state before the statement.
            request.committed = False
            if isinstance(error, NodeError):
                error.committed = False
            with trio.CancelScope(shield=True):
                await self.checkpoints.give_up(worker)
            raise
        self.checkpoints.measure()
        if failure is not None or outcome is None:
            assert failure is not None
            if isinstance(failure, trio.Cancelled):
                raise failure
            # Of several statements the earlier ones have committed, and this checkpoint holds them.
            failure.committed = request.committed = bool(failure.committed)
            raise failure
        request.committed = True
        return outcome

    async def _perform(self, execution: Execution, worker: Worker, order: Run) -> Outcome:
        """A failed, cancelled or timed-out bulk statement may have damaged an index: nothing more is written here."""
        try:
            return await execution.perform(order)
        except BaseException:
            worker.tainted = True
            raise

    async def _commit(self, execution: Execution, worker: Worker) -> None:
        """Done when COMMIT and the CHECKPOINT behind it have both succeeded.

        A COMMIT that failed may have been undone, or have left its rows in memory: the set-aside pair settles that.
        """
        request = execution.request
        refusal: CallFailed | None = None
        try:
            async with self.checkpoints.marked(worker):
                request.committed = None
                try:
                    await worker.commit(execution.lane)
                except CallFailed as error:
                    if error.failed.code != UNSTORABLE:
                        raise
                    # It has not begun, and the transaction is open still.
                    refusal = error
        except (WorkerDied, CallFailed, MarkerStuck) as error:
            raise await self._lost(execution, worker, error) from error
        except OSError as error:
            await self._roll_back(execution, worker)
            request.committed = False
            raise _disk_error(error) from error
        if refusal is not None:
            await self._roll_back(execution, worker)
            refusal.failed.committed = request.committed = False
            raise statement_error(refusal.failed) from refusal
        request.committed = True
        self.checkpoints.succeeded()

    async def _lost(
        self, execution: Execution, worker: Worker, cause: WorkerDied | CallFailed | MarkerStuck
    ) -> NodeError:
        """The marked pair wins over what the dead or refusing worker has left, so nothing of the statement is there.

        Only where the marker itself is in doubt, nobody knows.
        """
        if isinstance(cause, WorkerDied):
            worker.culprit = execution.fingerprint
        with trio.CancelScope(shield=True):
            await self.checkpoints.give_up(worker)
            status = await worker.process.reap()
        execution.request.committed = committed = None if isinstance(cause, MarkerStuck) else False
        if isinstance(cause, CallFailed):
            cause.failed.committed = False
            return statement_error(cause.failed)
        return worker_lost(status, committed=committed)

    async def _checkpoint(self, worker: Worker, *, committed: bool) -> None:
        try:
            await self.checkpoints.checkpoint_alone(worker)
        except WorkerDied as error:
            raise worker_lost(error.status, committed=committed) from error
        except OSError as error:
            raise _disk_error(error) from error

    async def _roll_back(self, execution: Execution, worker: Worker) -> None:
        worker.tainted = True
        with trio.CancelScope(shield=True):
            try:
                await worker.roll_back(execution.lane)
            except (CallFailed, WorkerDied) as error:
                log.warning("bulk_rollback_failed", error=str(error))
                worker.process.kill()

    async def _set_file_aside(self) -> None:
        try:
            await self.checkpoints.set_file_aside()
        except OSError as error:
            raise _disk_error(error) from error

    @asynccontextmanager
    async def _seated(self, execution: Execution) -> AsyncIterator[Worker]:
        """All but the gate, and the lock that comes before it."""
        locks = self.floor.locks
        try:
            locks.maintenance.acquire_nowait()
        except trio.WouldBlock:
            # Perhaps for a session that may write.
            with locks.checkpoint_waits():
                await locks.acquire_maintenance()
        try:
            worker = await execution.seat(gate=False)
            try:
                yield worker
            finally:
                await self.checkpoints.drop_copy()
        finally:
            locks.maintenance.release()

    @asynccontextmanager
    async def _alone(self, execution: Execution) -> AsyncIterator[None]:
        """The exclusive gate, asked for with growing pauses that let readers through. The writer lock is kept."""
        gate, pause = self.floor.locks.gate, FIRST_PAUSE
        with self.floor.locks.checkpoint_waits():
            while True:
                try:
                    async with gate.exclusive():
                        yield
                        return
                except GateBusy:
                    await trio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)


def _has_several(order: Run) -> bool:
    """Whether the order may be more than one statement."""
    return isinstance(order, RunTransaction) or (isinstance(order, RunQuery) and len(order.texts) > 1)


def _left_nothing(order: Run, error: NodeError) -> bool:
    """Index statements are several to the engine: one that fails behind its binder leaves what came before.

    A vector index whose name was used before fails so, and the next write is fatal.
    """
    return not isinstance(order, RunBulk) or error.code in {"syntax", "binder", "catalog", "parameter"}


def _refuse_indexed(worker: Worker, table: str) -> None:
    """A vector index finds its column by its place: with an earlier one dropped, the file never opens again."""
    if table and any(replay.same_name(one) == table for one, _ in worker.indexes):
        detail = "the table has an index, which the engine damages by this: drop the index first"
        raise Conflict(detail, code="constraint", committed=False, is_statement=True)


def _never_alone(seconds: float) -> NodeError:
    return pool_exhausted(f"others have read without a pause for {seconds:g} s, and a checkpoint needs one")


def _disk_error(error: OSError) -> NodeError:
    if isinstance(error, CheckpointPostponed):
        if error.is_unstorable:
            return Conflict(str(error.strerror), code="constraint", committed=False, is_statement=True)
        return disk_error("the checkpoint that this statement needs has to wait", error, is_statement=True)
    return disk_error("the database's files could not be set aside", error, is_statement=True)
