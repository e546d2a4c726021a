"""An open transaction of a session: it holds a lane, a slot and the gate, and if it writes the locks for that.

`engine/sessions.py` begins and ends them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import attrs
import trio

from kuzu_node.core.messages import Begin, End, RunQuery
from kuzu_node.core.screen import Kind, Screened
from kuzu_node.engine import replay
from kuzu_node.engine.answer import Answer, Outcome, whole
from kuzu_node.engine.bulk import BulkStatements
from kuzu_node.engine.execution import Committing, Execution, Floor, Pin, engine_timeout_ms
from kuzu_node.engine.statements import point_into_source
from kuzu_node.engine.translate import pool_exhausted
from kuzu_node.engine.values import Query
from kuzu_node.engine.worker import Worker
from kuzu_node.errors import Forbidden, NodeError, RequestRefused

_NO_FINGERPRINT = "-"


@attrs.define(eq=False)
class _Request:
    committed: bool | None = False


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


@attrs.define(eq=False)
class OpenTransaction:
    """`write`: it may write. `end` gives everything back, in any case and only once."""

    floor: Floor
    bulk: BulkStatements
    graph_id: str
    write: bool
    execution: HeldExecution
    worker: Worker
    kept: bool
    _ddl: bool = False
    _wrote: bool = False
    # The log may give back what was written as something else, so the commit checkpoints.
    _untrue: bool = False
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
            self._untrue = self._untrue or replay.is_untrue(texts, text_indexed=self.worker.text_indexed)
            self._ddl = self._ddl or screened.kind is Kind.DDL
        try:
            self.execution.take_up(query, "\n".join(one.fingerprint for one in statements))
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
        request = _Request()
        self.execution.take_up(request, _NO_FINGERPRINT)
        started = trio.current_time()
        with trio.CancelScope(shield=True):
            try:
                if self._untrue:
                    await self.bulk.commit_held(self.execution, self.worker)
                else:
                    await self.execution.perform(End(True, self._ddl))
            except NodeError as error:
                error.is_statement = True
                error.committed = request.committed if self._wrote else False
                raise
        return (trio.current_time() - started) * 1000

    @property
    def wrote(self) -> bool:
        return self._wrote

    async def roll_back(self) -> float:
        """Milliseconds; nothing is left to be done when the worker is gone."""
        self.execution.take_up(_Request(), _NO_FINGERPRINT)
        started = trio.current_time()
        with trio.CancelScope(shield=True), suppress(NodeError):
            await self.execution.perform(End(False))
        return (trio.current_time() - started) * 1000

    async def end(self) -> None:
        if self._ended:
            return
        self._ended = True
        try:
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
    execution = HeldExecution(floor, _Request(), _NO_FINGERPRINT, write=write, pin=pin)
    try:
        if write:
            await locks.acquire_maintenance()
    except BaseException:
        locks.transactions -= 1
        raise
    try:
        worker = await execution.seat(gate=False)
        if write and worker.text_indexed:
            # Nodes of a text index that are made and deleted between two checkpoints ruin the second.
            await bulk.checkpoint_first(execution, worker)
        await execution.turn.enter_gate()
        outcome = await execution.perform(Begin(read_only))
    except BaseException:
        await execution.finish()
        _give_back(floor, write=write)
        raise
    transaction = OpenTransaction(floor, bulk, graph_id, write, execution, worker, pin.lane is not None)
    return transaction, outcome.executed.execute_ms


def _give_back(floor: Floor, *, write: bool) -> None:
    floor.locks.transactions -= 1
    if write:
        floor.locks.maintenance.release()
