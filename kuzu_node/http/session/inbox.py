"""The orders that a client has sent and the node has not answered, in their order, and bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice, takewhile
from typing import Final

import attrs
import trio

from kuzu_node.http.session.messages import NO_ID, Said

MOST_ORDERS: Final = 256


@attrs.define(eq=False)
class Order:
    """`late`: it came when the node was draining already. `scope` is there while it can be interrupted."""

    id: bytes
    said: Said
    size: int
    late: bool = False
    cancelled: bool = False
    scope: trio.CancelScope | None = None

    def cancel(self) -> None:
        self.cancelled = True
        if self.scope is not None:
            self.scope.cancel()


@attrs.define(eq=False)
class Inbox:
    """`done` of them have been answered. `most_bytes` and MOST_ORDERS bound what waits behind the order that runs."""

    most_bytes: int
    done: int = 0
    running: Order | None = None
    _waiting: deque[Order] = attrs.field(factory=deque)
    _bytes: int = 0
    _by_id: dict[bytes, Order] = attrs.field(factory=dict)
    _news: trio.Event | None = None
    _room: trio.Event | None = None

    def __contains__(self, order_id: bytes) -> bool:
        return order_id in self._by_id

    @property
    def busy(self) -> bool:
        return self.running is not None or bool(self._waiting)

    @property
    def has_next(self) -> bool:
        return bool(self._waiting)

    @property
    def full(self) -> bool:
        return len(self._waiting) >= MOST_ORDERS or self._bytes >= self.most_bytes

    async def wait_room(self) -> None:
        while self.full:
            self._room = trio.Event()
            await self._room.wait()

    def put(self, order: Order) -> None:
        self._waiting.append(order)
        self._bytes += order.size
        if order.id is not NO_ID:
            self._by_id[order.id] = order
        self.wake()

    def next(self) -> Order | None:
        """The order whose turn it is, until `answered`."""
        if not self._waiting:
            return None
        self.running = order = self._waiting.popleft()
        self._bytes -= order.size
        if self._room is not None:
            self._room.set()
        return order

    @property
    def first(self) -> Order:
        """Stays where it is until `next`."""
        return self._waiting[0]

    def several(self, fits: Callable[[Order], bool], most: int) -> list[Order]:
        """Those at the head that fit, which stay there until `next`."""
        return list(takewhile(fits, islice(self._waiting, most)))

    def answered(self) -> None:
        """The last answer to the running order is on its way."""
        assert self.running is not None
        self._by_id.pop(self.running.id, None)
        self.running = None
        self.done += 1

    def cancel(self, order_id: bytes) -> None:
        order = self._by_id.get(order_id)
        if order is not None:
            order.cancel()

    async def wait_news(self) -> None:
        """Until an order has come, or `wake`."""
        self._news = trio.Event()
        await self._news.wait()

    def wake(self) -> None:
        if self._news is not None:
            self._news.set()
