"""An open transaction of a session: it holds a lane, a slot and the gate, and if it writes the locks for that.

`engine/sessions.py` begins and ends them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio

from kuzu_node.core.messages import Begin, End, RunQuery
from kuzu_node.core.screen import Kind, Screened
from kuzu_node.engine import replay
from kuzu_node.engine.answer import Answer, Outcome, whole
from kuzu_node.engine.bulk import BulkStatements
from kuzu_node.engine.checkpoints import updates_in
from kuzu_node.engine.execution import Committing, Execution, Floor, OwnRequest, Pin, engine_timeout_ms
from kuzu_node.engine.quarantine import UNSUSPECTED
from kuzu_node.engine.statements import fingerprint_of, point_into_source
from kuzu_node.engine.translate import pool_exhausted
from kuzu_node.engine.values import Query
from kuzu_node.engine.worker import Worker
from kuzu_node.errors import Forbidden, NodeError, RequestRefused, Unavailable

# A COMMIT writes at most what fits the buffer pool. A worker that takes longer has come to harm.
COMMIT_SECONDS = 300.0
ROLLBACK_SECONDS = 60.0


class HeldExecution(Execution):
    """Stays seated from one statement to the next."""

    def take_up(self, request: Committing, fingerprint: str) -> None:
        """What is performed next. Raises Unavailable for what has killed twice."""
        self._request, self._fingerprint = request, fingerprint
        self._refuse_quarantined()

    async def answer_held(self, outcome: Outcome, queue_ms: float) -> Answer:
        """Only the place among the deliveries goes back with the rows."""
        if outcome.body is not None:
            return whole(outcome.executed, outcome.body, queue_ms)
        await self._enter_deliveries(outcome.executed, committed=False)
        return self._undelivered(outcome.executed, queue_ms, self.end_answer, committed=False)

    async def end_answer(self) -> None:
        """Rows that nobody has read are dropped."""
        try:
            await self._drain()
        finally:
            self._leave_deliveries()

    async def roll_back(self) -> None:
        """The lane is without a transaction afterwards, also where none was open, or its worker is gone. Shielded."""
        worker = self._worker
        assert worker is not None
        self._request, self._fingerprint = OwnRequest(), UNSUSPECTED
        with trio.CancelScope(shield=True, deadline=trio.current_time() + ROLLBACK_SECONDS) as scope:
            try:
                await self.perform(End(False))
            except NodeError:
                # Nobody knows what the lane holds, unless the worker has gone already.
                worker.process.kill()
        if scope.cancelled_caught:
            worker.process.kill()


@attrs.define(eq=False)
class OpenTransaction:
    """`write`: it may write. `end` gives everything back, in any case and only once: it rolls back what is open."""

    floor: Floor
    bulk: BulkStatements
    graph_id: str
    write: bool
    execution: HeldExecution
    worker: Worker
    kept: bool
    updates: int = 0
    _ddl: bool = False
    _wrote: bool = False
    # The log may give back what was written as something else, so the commit checkpoints.
    _untrue: bool = False
    # In the engine.
    _over: bool = False
    _ended: bool = False

    @asynccontextmanager
    async def query(self, query: Query, screened: Screened) -> AsyncIterator[Answer]:
        """One text. Raises NodeError, after which only `end` is left."""
        self._refuse(screened)
        statements = screened.statements
        texts = [one.text for one in statements]
        order = RunQuery(
            texts,
            [one.kind is not Kind.READ for one in statements],
            screened.parameters,
            query.form.value,
            query.chunk_size,
            self.graph_id,
            engine_timeout_ms(self.floor.query_timeout),
            held=True,
            kept=self.kept,
        )
        if not screened.is_read:
            self._wrote = True
            self.updates += updates_in(texts)
            self._untrue = self._untrue or replay.is_untrue(texts, text_indexed=self.worker.text_indexed)
            self._ddl = self._ddl or screened.kind is Kind.DDL
        try:
            self.execution.take_up(query, fingerprint_of(statements))
            answer = await self.execution.answer_held(await self.execution.perform(order), 0.0)
            query.committed = False
            yield answer
        except NodeError as error:
            error.committed = False
            point_into_source(error, screened)
            raise
        finally:
            # Whatever was written goes with the transaction.
            query.committed = False
            await self.execution.end_answer()

    def _refuse(self, screened: Screened) -> None:
        if screened.is_bulk:
            detail = "this statement has a commit of its own: send it outside of the transaction"
            raise RequestRefused(detail, committed=False, is_statement=True)
        if not self.write and not screened.is_read:
            detail = "this statement writes, and the transaction was begun with read_only"
            raise Forbidden(detail, code="read_only", committed=False, is_statement=True)

    async def commit(self) -> float:
        """Milliseconds. Not interrupted half-way. The error's `committed` is what is known."""
        request = OwnRequest()
        self.execution.take_up(request, UNSUSPECTED)
        started = trio.current_time()
        try:
            if self._untrue:
                await self.bulk.commit_held(self.execution, self.worker)
            else:
                await self._commit(request)
        except NodeError as error:
            error.is_statement = True
            error.committed = request.committed if self._wrote else False
            raise
        return (trio.current_time() - started) * 1000

    async def _commit(self, request: OwnRequest) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + COMMIT_SECONDS) as scope:
            await self.execution.perform(End(True, self._ddl))
            self._over = True
        if scope.cancelled_caught and not request.committed:
            detail = f"the transaction was not committed within {COMMIT_SECONDS:g} s"
            raise Unavailable(detail, code="database_restarting", retry_after=1)

    @property
    def wrote(self) -> bool:
        return self._wrote

    async def roll_back(self) -> float:
        """Milliseconds; nothing is left to be done when the worker is gone."""
        started = trio.current_time()
        await self.execution.roll_back()
        self._over = True
        return (trio.current_time() - started) * 1000

    async def end(self) -> None:
        """Shielded. A lane that kept a transaction would swallow what others write in it."""
        if self._ended:
            return
        self._ended = True
        try:
            if not self._over:
                await self.execution.roll_back()
            await self.execution.finish()
        finally:
            _give_back(self.floor, write=self.write)


async def begin_transaction(
    floor: Floor, bulk: BulkStatements, graph_id: str, *, read_only: bool, pin: Pin
) -> tuple[OpenTransaction, float]:
    """The transaction, and the milliseconds in the engine. Raises NodeError with nothing held."""
    locks, write = floor.locks, not read_only
    most = max(1, int(locks.slots.total_tokens) - 1)
    if locks.transactions >= most:
        raise pool_exhausted(f"{locks.transactions} transactions are open on this database, as many as may be")
    locks.transactions += 1
    execution = HeldExecution(floor, OwnRequest(), UNSUSPECTED, write=write, pin=pin)
    try:
        if write:
            await locks.acquire_maintenance()
    except BaseException:
        locks.transactions -= 1
        raise
    try:
        # Who writes keeps checkpoints away by the locks before, so the gate is open then.
        worker = await execution.seat(gate=read_only)
        if write and worker.text_indexed:
            # Nodes of a text index that are made and deleted between two checkpoints ruin the second.
            await bulk.checkpoint_first(execution, worker)
        await execution.turn.enter_gate()
    except BaseException:
        await execution.finish()
        _give_back(floor, write=write)
        raise
    transaction = OpenTransaction(floor, bulk, graph_id, write, execution, worker, pin.lane is not None)
    try:
        outcome = await execution.perform(Begin(read_only))
    except BaseException:
        # The engine may have begun it all the same.
        await transaction.end()
        raise
    return transaction, outcome.executed.execute_ms


def _give_back(floor: Floor, *, write: bool) -> None:
    floor.locks.transactions -= 1
    if write:
        floor.locks.maintenance.release()
