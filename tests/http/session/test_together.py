"""Orders that are asked together, in the hands of a session that says when: each is answered exactly once."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, MutableMapping, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from kuzu_node.config import load
from kuzu_node.engine.answer import Answer
from kuzu_node.engine.values import Form, Query, Timing
from kuzu_node.errors import NodeError, Unavailable
from kuzu_node.http.policy import Gatekeeper
from kuzu_node.http.session.inbox import Inbox, Order
from kuzu_node.http.session.messages import QueryOrder
from kuzu_node.http.session.orders import TOGETHER, Orders
from kuzu_node.http.session.outbox import ROOM, Outbox

pytestmark = pytest.mark.trio


class Open:
    def check_load(self) -> None:
        return


@attrs.define
class Said:
    """Takes what the outbox sends."""

    ids: list[int] = attrs.field(factory=list)

    async def send(self, message: MutableMapping[str, Any]) -> None:
        for _, text in message["messages"]:
            said = json.loads(text)
            if "id" in said:
                self.ids.append(said["id"])


@attrs.define
class Willing:
    """Answers by the group: `sizes` of them, then as `fails` says."""

    sizes: Sequence[int]
    fails: NodeError | None = None
    waits: bool = False
    in_transaction: bool = False
    alone: list[str] = attrs.field(factory=list)

    async def abort(self) -> None:
        """There is no transaction."""

    @asynccontextmanager
    async def query(self, query: Query) -> AsyncIterator[Answer]:
        self.alone.append(query.cypher)
        yield answer_to(query)

    @asynccontextmanager
    async def query_several(self, queries: Sequence[Query]) -> AsyncIterator[AsyncIterator[Sequence[Answer]]]:
        async with aclosing(self._groups(list(queries))) as groups:
            yield groups

    async def _groups(self, queries: list[Query]) -> AsyncGenerator[Sequence[Answer], None]:
        for size in self.sizes:
            group, queries = queries[:size], queries[size:]
            yield [answer_to(query) for query in group]
        if self.waits:
            await trio.sleep_forever()
        if self.fails is not None:
            raise self.fails


def answer_to(query: Query) -> Answer:
    assert query.form is Form.SESSION
    return Answer(("n",), 1, Timing(queue_ms=0.0, execute_ms=0.1, encode_ms=0.0), b'{"n":1}')


def orders_for(tmp_path: Path, session: Willing, said: Said) -> Orders:
    config = load({"KUZU_DATABASE_PATH": str(tmp_path)})
    inbox = Inbox(1 << 20)
    for number in range(1, TOGETHER + 1):
        inbox.put(Order(str(number).encode(), QueryOrder(cypher=f"RETURN {number}"), 10))
    return Orders(config, cast(Any, session), inbox, Outbox(said.send), cast(Gatekeeper, Open()), "r", {})


async def answer_all(orders: Orders) -> None:
    while await orders.answer_next():
        pass


LOST = Unavailable("gone", code="database_restarting")


@pytest.mark.parametrize("sizes", [(), (8,), (3,), (3, 2), (1,), (7, 1)], ids=str)
@pytest.mark.parametrize("fails", [None, LOST], ids=["ends", "dies"])
async def test_what_is_not_among_the_answers_is_asked_alone(
    tmp_path: Path, sizes: tuple[int, ...], fails: NodeError | None
) -> None:
    said, session = Said(), Willing(sizes, fails)
    orders = orders_for(tmp_path, session, said)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(orders.outbox.run)
        await answer_all(orders)
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
    together = sum(sizes)
    assert said.ids == list(range(1, TOGETHER + 1))
    assert orders.inbox.done == TOGETHER
    if together < TOGETHER:
        assert session.alone[0] == f"RETURN {together + 1}"
    if fails is not None:
        # Nothing goes together for a while, so that it is known what ends the worker.
        assert session.alone == [f"RETURN {number}" for number in range(together + 1, TOGETHER + 1)]


async def later(clock: MockClock, seconds: float) -> None:
    """When all has happened that needs no more time than that."""
    await trio.testing.wait_all_tasks_blocked()
    clock.jump(seconds)
    await trio.testing.wait_all_tasks_blocked()


async def test_answers_that_find_no_room_are_not_lost(tmp_path: Path, mock_clock: MockClock) -> None:
    said, session = Said(), Willing((TOGETHER,))
    orders = orders_for(tmp_path, session, said)
    await orders.outbox.put(b'"' + b"x" * ROOM + b'"')
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer_all, orders)
        await later(mock_clock, 1)
        # What cannot be handed on holds nothing of the database for long.
        assert session.alone == ["RETURN 1"]
        nursery.start_soon(orders.outbox.run)
        await later(mock_clock, 1)
        nursery.cancel_scope.cancel()
    assert said.ids == list(range(1, TOGETHER + 1))
    assert orders.inbox.done == TOGETHER


async def test_a_group_has_the_time_of_one_statement(tmp_path: Path, mock_clock: MockClock) -> None:
    """Whoever stops one that cannot be stopped costs all others on the database their worker."""
    said, session = Said(), Willing((3,), waits=True)
    orders = orders_for(tmp_path, session, said)
    longest = orders.config.engine.query_timeout
    async with trio.open_nursery() as nursery:
        nursery.start_soon(orders.outbox.run)
        nursery.start_soon(answer_all, orders)
        await later(mock_clock, longest - 1)
        assert said.ids == [1, 2, 3]
        assert not session.alone
        await later(mock_clock, 1)
        await later(mock_clock, 1)
        nursery.cancel_scope.cancel()
    assert said.ids == list(range(1, TOGETHER + 1))
    assert session.alone == [f"RETURN {number}" for number in range(4, TOGETHER + 1)]


async def test_a_group_is_interrupted_when_the_time_to_drain_is_over(tmp_path: Path, mock_clock: MockClock) -> None:
    said, session = Said(), Willing((3,), waits=True)
    orders = orders_for(tmp_path, session, said)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(orders.outbox.run)
        nursery.start_soon(answer_all, orders)
        await later(mock_clock, 1)
        orders.expire()
        await later(mock_clock, 1)
        nursery.cancel_scope.cancel()
    assert said.ids == list(range(1, TOGETHER + 1))
    assert session.alone == []


async def test_who_cancels_the_order_whose_turn_it_is_interrupts_the_group(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    said, session = Said(), Willing((), waits=True)
    orders = orders_for(tmp_path, session, said)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(orders.outbox.run)
        nursery.start_soon(answer_all, orders)
        await later(mock_clock, 1)
        assert said.ids == []
        orders.inbox.cancel(b"1")
        await later(mock_clock, 1)
        nursery.cancel_scope.cancel()
    assert said.ids == list(range(1, TOGETHER + 1))
    assert session.alone == [f"RETURN {number}" for number in range(2, TOGETHER + 1)]
