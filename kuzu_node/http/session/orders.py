"""Runs the orders of one session, one after the other, and puts their answers into the outbox."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, assert_never

import attrs
import structlog
import trio

from kuzu_node.config.values import NodeConfig
from kuzu_node.engine.values import Form, Query
from kuzu_node.errors import NodeError, QueryTimeout, RequestRefused, Unavailable
from kuzu_node.http.policy import Gatekeeper
from kuzu_node.http.ports import Answer, Session
from kuzu_node.http.session import messages
from kuzu_node.http.session.inbox import Inbox, Order
from kuzu_node.http.session.messages import BeginOrder, CommitOrder, Faulty, QueryOrder, RollbackOrder
from kuzu_node.http.session.outbox import Outbox

# Orders that wait for each other are asked together while they are answered as fast as this, in milliseconds. What has
# to wait for the database is not; and nothing is for a while after a fault: what ends workers is found out alone.
QUICK_MS: Final = 2.0
TOGETHER: Final = 8
APART_SECONDS: Final = 10.0
SOON_SECONDS: Final = 0.25
# While answers of a group wait for room, it holds what checkpoints and others wait for.
ROOM_SECONDS: Final = 0.25

FORMS: Final = {"json": Form.SESSION, "arrow": Form.SESSION_ARROW}


@attrs.define(eq=False)
class Orders:
    """`expired`: the node's time to drain is over, and what is interrupted is interrupted by that."""

    config: NodeConfig
    session: Session
    inbox: Inbox
    outbox: Outbox
    gatekeeper: Gatekeeper
    request_id: str
    names: dict[str, str]
    expired: bool = False
    _quick: bool = True
    _apart_until: float = -math.inf
    _together: trio.CancelScope | None = None
    _log: Any = attrs.field(init=False, factory=lambda: structlog.get_logger().bind())

    async def answer_next(self) -> bool:
        """The order whose turn it is, with those behind it where they can be asked together. Whether there was one."""
        if self._quick and await self._answer_several():
            return True
        order = self.inbox.next()
        if order is None:
            return False
        self._quick = False
        await self.answer(order)
        self.inbox.answered()
        return True

    def expire(self) -> None:
        self.expired = True
        running = self.inbox.running
        for scope in (self._together, running.scope if running is not None else None):
            if scope is not None:
                scope.cancel()

    async def _answer_several(self) -> bool:
        """Whether at least one was. What was not is still in the inbox, and nothing of it has happened."""
        began, before = trio.current_time(), self.inbox.done
        if self.session.in_transaction or self.expired or began < self._apart_until:
            return False
        several = self.inbox.several(_is_plain, TOGETHER)
        queries = [self._query_of(order.said) for order in several if isinstance(order.said, QueryOrder)]
        if len(queries) < 2:
            return False
        try:
            self.gatekeeper.check_load()
            # A read that does not stop when it should has the time that it would have alone: nothing but the end of the
            # worker would stop it sooner.
            with trio.move_on_after(self.config.engine.query_timeout) as self._together:
                # Which of them runs nobody knows; another that is cancelled is answered, or refused in its turn.
                several[0].scope = self._together
                await self._ask_several(queries)
        except NodeError:
            self._apart_until = trio.current_time() + APART_SECONDS
        finally:
            self._together = several[0].scope = None
        if trio.current_time() - began > SOON_SECONDS:
            # A queue, a reader who is slow, or one of them has held up the others, and may do so again.
            self._apart_until = trio.current_time() + APART_SECONDS
        answered = self.inbox.done - before
        self._quick = answered == len(queries)
        return answered > 0

    async def _ask_several(self, queries: Sequence[Query]) -> None:
        async with self.session.query_several(queries) as groups:
            async for answers in groups:
                if not await self._put_all(answers):
                    return

    async def _put_all(self, answers: Sequence[Answer]) -> bool:
        """False where there is no room: an order that was not answered stays where it is."""
        with trio.move_on_after(ROOM_SECONDS) as scope:
            for answer in answers:
                order = self.inbox.first
                assert answer.body is not None
                text = messages.result(
                    order.id, answer.columns, answer.body, answer.row_count, answer.timing.execute_ms
                )
                await self.outbox.put(text, more=answer is not answers[-1])
                self.inbox.next()
                self.inbox.answered()
        return not scope.cancelled_caught

    async def answer(self, order: Order) -> None:
        """Runs it. Returns when its last answer is in the outbox; raises only what is a fault of the node."""
        work: Query | None = None
        try:
            self._refuse_early(order)
            said = order.said
            if isinstance(said, QueryOrder):
                work = self._query_of(said)
                text = await self._query(order, said, work)
            else:
                text = messages.done(order.id, await self._control(order, said))
        except NodeError as error:
            # What did not come from the engine has not ended the transaction yet.
            await self.session.abort()
            text = messages.error(order.id, error, committed=_committed_by(error, work))
        await self.outbox.put(text, more=self.inbox.has_next)

    def _refuse_early(self, order: Order) -> None:
        """What can be said of it without the engine."""
        if isinstance(order.said, Faulty):
            raise order.said.error
        outside = not self.session.in_transaction
        if outside and (order.late or self.expired):
            raise Unavailable("the node is draining and takes no new work", code="draining", retry_after=5)
        if order.cancelled:
            raise QueryTimeout("cancelled before its turn came", code="cancelled", committed=False, is_statement=True)
        if outside and isinstance(order.said, QueryOrder | BeginOrder):
            self.gatekeeper.check_load()

    def _query_of(self, said: QueryOrder) -> Query:
        if not said.cypher.strip():
            raise RequestRefused("cypher is empty", code="empty_query")
        return Query(
            cypher=said.cypher,
            parameters=said.parameters,
            form=FORMS[said.format],
            chunk_size=self.config.engine.chunk_size,
            read_only=said.read_only,
            request_id=self.request_id,
        )

    async def _query(self, order: Order, said: QueryOrder, query: Query) -> bytes:
        """The last message of the answer; the others are in the outbox."""
        longest = self.config.engine.query_timeout
        seconds = longest if said.timeout is None else min(said.timeout, longest)
        began = trio.current_time()
        text = b""
        with trio.CancelScope(deadline=began + seconds) as scope:
            order.scope = scope
            async with self.session.query(query) as answer:
                self._note_time(trio.current_time() - began)
                scope.deadline = math.inf
                if answer.body is None:
                    text = await self._deliver(order, said, answer)
                else:
                    text = await self._whole(order, said, answer, answer.body)
        order.scope = None
        if scope.cancelled_caught:
            raise self._interrupted(order)
        return text

    async def _whole(self, order: Order, said: QueryOrder, answer: Answer, body: bytes) -> bytes:
        count, took = answer.row_count, answer.timing.execute_ms
        self._quick = took < QUICK_MS
        if said.format == "json":
            return messages.result(order.id, answer.columns, body, count, took)
        await self.outbox.put(messages.columns(order.id, answer.columns))
        await self.outbox.put(messages.announced(order.id, count), body)
        return messages.done_query(order.id, count, took)

    async def _deliver(self, order: Order, said: QueryOrder, answer: Answer) -> bytes:
        await self.outbox.put(messages.columns(order.id, answer.columns))
        parts: list[bytes] = []
        sent = held = 0
        async with answer.delivery() as pieces:
            async for piece in pieces:
                parts.append(piece.body)
                held += piece.rows
                if not piece.complete:
                    continue
                inside = parts[0] if len(parts) == 1 else b"".join(parts)
                if said.format == "arrow":
                    await self.outbox.put(messages.announced(order.id, held), inside)
                else:
                    # Every message's rows but the first begin with the comma that would part them in one array.
                    await self.outbox.put(messages.rows(order.id, memoryview(inside)[sent > 0 :]))
                sent, held, parts = sent + held, 0, []
        return messages.done_query(order.id, sent, answer.timing.execute_ms)

    async def _control(self, order: Order, said: Any) -> float:
        """Milliseconds in the engine."""
        match said:
            case CommitOrder():
                return await self.session.commit()
            case RollbackOrder():
                return await self.session.rollback()
            case BeginOrder():
                return await self._begin(order, said)
            case _:
                assert_never(said)

    async def _begin(self, order: Order, said: BeginOrder) -> float:
        took = 0.0
        with trio.CancelScope() as scope:
            order.scope = scope
            took = await self.session.begin(read_only=said.read_only)
        order.scope = None
        if scope.cancelled_caught:
            raise self._interrupted(order)
        return took

    def _interrupted(self, order: Order) -> NodeError:
        if self.expired:
            return Unavailable("the node drains, and the time for it is over", code="draining", retry_after=5)
        if order.cancelled:
            return QueryTimeout("cancelled by the client", code="cancelled")
        return QueryTimeout("the query took longer than its time limit")

    def _note_time(self, seconds: float) -> None:
        if seconds * 1000 >= self.config.log.slow_query_ms:
            self._log.warning("slow_query", work_ms=round(seconds * 1000, 3), **self.names)


def _is_plain(order: Order) -> bool:
    """Whether it may be a short read, with nothing that is its own; the engine's side of the node looks closer."""
    said = order.said
    return (
        isinstance(said, QueryOrder)
        and said.format == "json"
        and said.timeout is None
        and said.cypher.strip() != ""
        and not (order.late or order.cancelled)
    )


def _committed_by(error: NodeError, work: Query | None) -> bool | None:
    """Its own word, else that of the query, else nothing, since none had begun."""
    if error.is_statement:
        return error.committed
    return work.committed if work is not None else False
