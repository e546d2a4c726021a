"""One session on a database: its orders run one after the other, in a transaction or each by itself.

`http/session/` drives one for each socket. A transaction is also ended by its times, by a checkpoint that needs the
way, and with its worker; whoever sends the next order is told.
"""

from __future__ import annotations

import enum
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import attrs
import trio

from kuzu_node.core.groups import unwrapped
from kuzu_node.core.screen import Screened
from kuzu_node.engine.answer import Answer
from kuzu_node.engine.execution import Pin
from kuzu_node.engine.held import OpenTransaction, begin_transaction
from kuzu_node.engine.pins import keep_lane, leave_lane
from kuzu_node.engine.several import run_several
from kuzu_node.engine.statements import RunningQuery, Statements, refuse_writing
from kuzu_node.engine.values import Query
from kuzu_node.errors import Conflict, Forbidden, NodeError, RequestRefused, Unavailable

# An idle transaction gives way to a checkpoint that has waited for so long.
GIVES_WAY_AFTER = 5.0


class Standing(enum.Enum):
    """Of the session's transaction. An aborted one is over for the engine, and waits for the client's rollback."""

    NONE = "none"
    OPEN = "open"
    ABORTED = "aborted"


@attrs.define(eq=False)
class Session:
    """All but `touch` is called by one task. `lost`: the session cannot go on.

    Its other tasks watch the transaction: they end it themselves while no order runs, and else leave that to the order.
    """

    statements: Statements
    idle_seconds: float
    longest_seconds: float
    nursery: trio.Nursery
    lost: trio.Event = attrs.field(factory=trio.Event)
    _pin: Pin = attrs.field(factory=Pin)
    _standing: Standing = Standing.NONE
    _transaction: OpenTransaction | None = None
    _reason: NodeError | None = None
    _began: float = 0.0
    _last_sign: float = 0.0
    _running: trio.CancelScope | None = None
    _stirred: trio.Event = attrs.field(factory=trio.Event)
    _watch: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _ending: trio.Event | None = None

    @property
    def in_transaction(self) -> bool:
        return self._standing is not Standing.NONE

    def touch(self) -> None:
        """A message has come: the transaction is not idle."""
        self._last_sign = trio.current_time()

    @asynccontextmanager
    async def query(self, query: Query) -> AsyncIterator[Answer]:
        """As `Database.query`; within the transaction when one is open, and an error ends it."""
        self._refuse_ended()
        transaction = self._transaction
        if transaction is None:
            async with self._alone(query) as answer:
                yield answer
            return
        async with self._order():
            screened = await self._screened(query, transaction)
            try:
                async with transaction.query(query, screened) as answer:
                    self.statements.usage.count(answer.timing.queue_ms + answer.timing.execute_ms)
                    yield answer
            except NodeError as error:
                self.statements.checkpoints.failed(error)
                raise

    def query_several(self, queries: Sequence[Query]) -> AbstractAsyncContextManager[AsyncIterator[list[Answer]]]:
        """Answers of the first so many, maybe none, in groups; what is missing is to be asked by `query`."""
        if self.in_transaction or self._pin.lane is not None:
            queries = ()
        return run_several(self.statements, queries)

    async def begin(self, *, read_only: bool) -> float:
        """Milliseconds in the engine."""
        self._refuse_ended()
        if self._transaction is not None:
            await self.abort()
            raise RequestRefused("a transaction is open already", committed=False, is_statement=True)
        statements = self.statements
        transaction, milliseconds = await begin_transaction(
            statements.floor, statements.bulk, statements.graph_id, read_only=read_only, pin=self._pin
        )
        self._transaction, self._standing, self._reason = transaction, Standing.OPEN, None
        self._began = self._last_sign = trio.current_time()
        self._watch = trio.CancelScope()
        self.nursery.start_soon(self._watch_over, transaction, self._watch, name=f"transaction {statements.graph_id}")
        return milliseconds

    async def commit(self) -> float:
        """Milliseconds in the engine. The transaction is over, also by an error, unless it had been aborted before."""
        self._refuse_ended()
        transaction = self._leave_transaction(Standing.NONE)
        try:
            milliseconds = await transaction.commit()
        finally:
            await transaction.end()
        if transaction.wrote:
            self.statements.checkpoints.wrote(transaction.updates)
        return milliseconds

    async def rollback(self) -> float:
        """Milliseconds in the engine, 0 where the transaction was over before."""
        if self._standing is Standing.ABORTED:
            await self._wait_ended()
            self._standing, self._reason = Standing.NONE, None
            return 0.0
        transaction = self._leave_transaction(Standing.NONE)
        try:
            return await transaction.roll_back()
        finally:
            await transaction.end()

    async def abort(self) -> None:
        """After an error that did not come from an order: what follows is refused until `rollback`."""
        if self._transaction is not None:
            await self._roll_back_now()

    def _leave_transaction(self, standing: Standing) -> OpenTransaction:
        transaction = self._transaction
        if transaction is None:
            raise RequestRefused("no transaction is open: send begin first", committed=False, is_statement=True)
        self._transaction, self._standing = None, standing
        self._watch.cancel()
        return transaction

    async def _roll_back_now(self) -> None:
        transaction = self._leave_transaction(Standing.ABORTED)
        self._ending = trio.Event()
        try:
            await transaction.end()
        finally:
            self._ending.set()

    async def _wait_ended(self) -> None:
        """Until what a watch is ending has given its lane back, which the session may have kept."""
        if self._ending is not None:
            await self._ending.wait()

    def _refuse_ended(self) -> None:
        """The first order behind a transaction that the node has ended is told why, later ones only that."""
        if self._standing is not Standing.ABORTED:
            return
        reason, self._reason = self._reason, None
        if reason is not None:
            raise reason
        detail = "an earlier error has ended the transaction: send rollback"
        raise Conflict(detail, code="transaction_aborted", committed=False, is_statement=True)

    @asynccontextmanager
    async def _order(self) -> AsyncIterator[None]:
        """An order inside the transaction. Its error, or its being cancelled, ends the transaction."""
        with trio.CancelScope() as scope:
            self._running = scope
            try:
                yield
            except BaseException as error:
                if not isinstance(error, trio.Cancelled):
                    # This is the reason, and whoever has sent the order is told it.
                    self._reason = None
                if self._transaction is not None:
                    await self._roll_back_now()
                raise
            finally:
                self._running = None
                self._last_sign = trio.current_time()
                self._stir()
        if self._transaction is not None and self._reason is not None:
            # The order has come to its end before it could be interrupted, or was waited for.
            await self._roll_back_now()
        if scope.cancelled_caught:
            # Only the watch cancels it.
            self._refuse_ended()

    @asynccontextmanager
    async def _alone(self, query: Query) -> AsyncIterator[Answer]:
        """Outside of a transaction. A projected graph belongs to a Connection, so its lane is kept from then on."""
        statements = self.statements
        if self._pin.lane is None and await statements.projects_graphs(query.cypher):
            await keep_lane(statements.floor, self._pin)
            self.nursery.start_soon(self._watch_pin, name=f"projected graphs of {statements.graph_id}")
        pin = self._pin if self._pin.lane is not None else None
        async with RunningQuery(statements, query, pin=pin) as answer:
            yield answer

    async def _screened(self, query: Query, transaction: OpenTransaction) -> Screened:
        statements = self.statements
        if self._pin.lane is None and await statements.projects_graphs(query.cypher):
            detail = "make projected graphs before the transaction begins"
            raise Forbidden(detail, code="forbidden_statement", committed=False, is_statement=True)
        screened = await statements.screened(
            query.cypher, query.parameters, transaction.worker.key_types, projecting=self._pin.lane is not None
        )
        refuse_writing(screened, read_only=query.read_only)
        return screened

    async def _watch_pin(self) -> None:
        worker = self._pin.worker
        assert worker is not None
        await self.statements.floor.presence.wait_replaced(worker)
        self.lost.set()

    async def _watch_over(self, transaction: OpenTransaction, scope: trio.CancelScope) -> None:
        """Ends the transaction when its time is up, or when it stands in the way of what matters more."""
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_worker, transaction, name="worker of a transaction")
                nursery.start_soon(self._watch_checkpoints, transaction, name="checkpoints behind a transaction")
                await self._watch_times(transaction)

    async def _watch_times(self, transaction: OpenTransaction) -> None:
        while True:
            left = self._began + self.longest_seconds
            why = f"the transaction was open for {self.longest_seconds:g} s, the longest that one may be"
            if self._running is None and self._last_sign + self.idle_seconds < left:
                left = self._last_sign + self.idle_seconds
                why = f"no message came for {self.idle_seconds:g} s while the transaction was open"
            if trio.current_time() >= left:
                await self._preempt(transaction, why)
                return
            with trio.move_on_at(left):
                await self._stirred.wait()

    async def _watch_checkpoints(self, transaction: OpenTransaction) -> None:
        locks = self.statements.floor.locks
        while True:
            await locks.wait_checkpoint_waits()
            idle_until = self._last_sign + GIVES_WAY_AFTER if self._running is None else math.inf
            if trio.current_time() >= idle_until:
                await self._preempt(transaction, "the transaction was idle and stood in the way of a checkpoint")
                return
            with trio.move_on_at(idle_until):
                await self._stirred.wait()

    async def _watch_worker(self, transaction: OpenTransaction) -> None:
        """Its worker has died, or is to be closed, or the database goes."""
        presence, worker = self.statements.floor.presence, transaction.worker
        while worker in presence.workers() and not worker.process.doomed and not presence.leaving:
            await presence.wait_changed()
        # An order that runs there fails by itself, or has the time that others have.
        await self._preempt(transaction, "the worker of the transaction was closed or has ended", interrupt=False)

    async def _preempt(self, transaction: OpenTransaction, why: str, *, interrupt: bool = True) -> None:
        """Ends the transaction from outside of its orders, or has the one that runs end it."""
        if self._transaction is not transaction:
            return
        self._reason = Unavailable(
            f"{why}; it was rolled back and may be tried again",
            code="transaction_preempted",
            committed=False,
            is_statement=True,
            retry_after=1,
        )
        if self._running is None:
            await self._roll_back_now()
        elif interrupt:
            self._running.cancel()

    def _stir(self) -> None:
        stirred, self._stirred = self._stirred, trio.Event()
        stirred.set()

    async def close(self) -> None:
        """Rolls back, and gives back the lane."""
        if self._transaction is not None:
            await self._roll_back_now()
        # Both have an end: a rollback has its time, and so has what `leave_lane` asks.
        with trio.CancelScope(shield=True):
            await self._wait_ended()
            await leave_lane(self.statements.floor, self._pin)


@asynccontextmanager
async def open_session(
    statements: Statements, *, idle_seconds: float, longest_seconds: float
) -> AsyncIterator[Session]:
    """A session for one socket; leaving the block rolls back what is open."""
    with unwrapped():
        async with trio.open_nursery() as nursery:
            session = Session(statements, idle_seconds, longest_seconds, nursery)
            try:
                yield session
            finally:
                await session.close()
            nursery.cancel_scope.cancel()
