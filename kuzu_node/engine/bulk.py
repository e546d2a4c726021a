"""Statements whose rows are not in the log: acknowledged only after a checkpoint, with the files set aside before.

The order is maintenance lock, writer lock, slot; set aside; the statement beside readers where BEGIN is allowed;
the exclusive gate; COMMIT; CHECKPOINT. Whatever fails in between leaves either the live files or the marked pair good.
"""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import structlog
import trio

from kuzu_node.core.frames import Frame
from kuzu_node.core.messages import Committed, Run
from kuzu_node.engine.checkpoints import FIRST_PAUSE, LONGEST_PAUSE, Checkpoints
from kuzu_node.engine.execution import Committing, Execution, Floor
from kuzu_node.engine.gate import GateBusy
from kuzu_node.engine.process import CallFailed, WorkerDied
from kuzu_node.engine.translate import worker_lost
from kuzu_node.engine.worker import Worker
from kuzu_node.errors import NodeError, OutOfSpace, Unavailable

log = structlog.get_logger()


@attrs.define(eq=False)
class BulkStatements:
    """The ways through a database that end in a checkpoint."""

    floor: Floor
    checkpoints: Checkpoints

    async def run(self, request: Committing, fingerprint: str, order: Run) -> Frame:
        """A statement inside BEGIN and COMMIT: COPY and CREATE TABLE .. AS. Readers go on until the commit."""
        async with self._seated(request, fingerprint) as (execution, worker):
            await self._set_file_aside()
            await execution.turn.enter_gate()
            try:
                frame = await self._perform(execution, worker, order)
            finally:
                execution.turn.release_gate()
            request.committed = False
            try:
                async with self._alone(execution):
                    with trio.CancelScope(shield=True):
                        await self._commit(execution, worker, request)
            except trio.Cancelled:
                await self._roll_back(execution, worker)
                raise
        return frame

    async def run_alone(self, request: Committing, fingerprint: str, order: Run, *, checkpoint_first: bool) -> Frame:
        """A statement that commits by itself: index creation, and (after a checkpoint) the dropping of a column."""
        async with self._seated(request, fingerprint) as (execution, worker):
            await self._set_file_aside()
            async with self._alone(execution):
                if checkpoint_first:
                    with trio.CancelScope(shield=True):
                        await self._checkpoint(worker, committed=False)
                        await self._set_file_aside()
                return await self._run_marked(execution, worker, request, order)

    async def _run_marked(self, execution: Execution, worker: Worker, request: Committing, order: Run) -> Frame:
        """The pair stays marked until the statement's own checkpoint is known to have worked."""
        failure: NodeError | None = None
        frame: Frame | None = None
        try:
            async with self.checkpoints.marked():
                try:
                    frame = await self._perform(execution, worker, order)
                except (NodeError, trio.Cancelled) as error:
                    if isinstance(error, trio.Cancelled) or not worker.process.alive:
                        raise
                    failure = error
                with trio.CancelScope(shield=True):
                    await worker.checkpoint()
        except (WorkerDied, CallFailed) as error:
            raise await self._lost(worker, request) from error
        except (NodeError, trio.Cancelled):
            # Interrupted half-way or dead: the marked pair is the state before the statement.
            request.committed = False
            with trio.CancelScope(shield=True):
                await self.checkpoints.give_up(worker)
            raise
        self.checkpoints.measure()
        if failure is not None or frame is None:
            request.committed = False
            assert failure is not None
            failure.committed = False
            raise failure
        request.committed = True
        return frame

    async def _perform(self, execution: Execution, worker: Worker, order: Run) -> Frame:
        """A failed, cancelled or timed-out bulk statement may have damaged an index: nothing more is written here."""
        try:
            return await execution.perform(order)
        except BaseException:
            worker.tainted = True
            raise

    async def _commit(self, execution: Execution, worker: Worker, request: Committing) -> None:
        """COMMIT checkpoints by itself; only a CHECKPOINT that succeeds behind it proves that the rows are durable."""
        try:
            async with self.checkpoints.marked():
                request.committed = None
                outcome = await worker.commit(execution.lane)
                if not outcome.checkpointed:
                    raise _NotDurable(outcome)
        except (WorkerDied, CallFailed, _NotDurable) as error:
            raise await self._lost(worker, request) from error
        except OSError as error:
            await self._roll_back(execution, worker)
            raise _disk_error(error) from error
        request.committed = True
        self.checkpoints.crashes = 0
        self.checkpoints.measure()
        if not outcome.committed:
            log.warning("bulk_commit_needed_checkpoint", error=outcome.commit_error)

    async def _lost(self, worker: Worker, request: Committing) -> Unavailable:
        """The marked pair wins over what the dead or refusing worker has left, so nothing of the statement is there."""
        with trio.CancelScope(shield=True):
            await self.checkpoints.give_up(worker)
            status = await worker.process.reap()
        request.committed = False
        return worker_lost(status, committed=False)

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
    async def _seated(self, request: Committing, fingerprint: str) -> AsyncIterator[tuple[Execution, Worker]]:
        """Locks, slot, lane and worker; all back at the end of the block."""
        execution = Execution(self.floor, request, fingerprint, write=True)
        async with self.floor.locks.maintenance:
            worker = await execution.seat(gate=False)
            try:
                yield execution, worker
            finally:
                await execution.finish()

    @asynccontextmanager
    async def _alone(self, execution: Execution) -> AsyncIterator[None]:
        """The exclusive gate, asked for with growing pauses that let readers through. The writer lock is kept."""
        gate, pause = self.floor.locks.gate, FIRST_PAUSE
        while True:
            try:
                async with gate.exclusive():
                    yield
                    return
            except GateBusy:
                await trio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)


class _NotDurable(Exception):
    """CHECKPOINT refused: the rows of the COMMIT are not in the file."""

    def __init__(self, outcome: Committed) -> None:
        super().__init__(f"{outcome.commit_error} {outcome.checkpoint_error}".strip())


def _disk_error(error: OSError) -> NodeError:
    detail = f"the database's files could not be set aside: {error.strerror}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return OutOfSpace(detail, code="disk_full", committed=False, is_statement=True)
    return NodeError(detail, code="internal", committed=False, is_statement=True)
