"""One session's socket after the handshake: a reader, the runner of its orders, and watches over what ends it."""

from __future__ import annotations

from functools import partial
from typing import Final

import attrs
import trio

from kuzu_node.core.groups import unwrapped
from kuzu_node.errors import NodeError, NotFound, RequestRefused
from kuzu_node.http.long_body import read_long
from kuzu_node.http.ports import Database, Node, Session
from kuzu_node.http.request import READ_IN_THREAD, Context
from kuzu_node.http.response import Receive
from kuzu_node.http.session import messages
from kuzu_node.http.session.inbox import Inbox, Order
from kuzu_node.http.session.messages import NO_ID, Cancel, Faulty, Ping, QueryOrder, Said
from kuzu_node.http.session.orders import Orders
from kuzu_node.http.session.outbox import Ending, Outbox

BINARY: Final = Ending(code=1003, reason="bad_request")
TOO_LONG: Final = Ending(code=1009, reason="too_large")
DRAINING: Final = Ending(code=1012, reason="draining; retry_after=5")
LOST: Final = Ending(code=1012, reason="database_restarting; retry_after=1")
IDLE: Final = Ending(code=4408, reason="idle")
# At the end of a drain the close frames have to be out before the server cuts the connections.
LEAVE_SECONDS: Final = 1.0
# A client may send faster than its messages are told apart: after so many, others get their turn.
AT_ONCE: Final = 32


@attrs.define(eq=False)
class Conversation:
    """`run` returns how the socket is to be closed. `gone` is cancelled when there is nobody left to close it for."""

    node: Node
    context: Context
    database: Database
    session: Session
    receive: Receive
    outbox: Outbox
    inbox: Inbox
    orders: Orders
    gone: trio.CancelScope
    _heard_at: float = attrs.field(factory=trio.current_time)
    _ending: Ending | None = None
    _hurry: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    async def run(self) -> Ending:
        with unwrapped():
            async with trio.open_nursery() as nursery:
                for watch in (self._read, self._watch_idle, self._watch_lost, self._watch_refused, self._watch_drain):
                    nursery.start_soon(watch, name=f"session {self.database.graph_id} {watch.__name__}")
                with self._hurry:
                    self._ending = await self._run_orders()
                nursery.cancel_scope.cancel()
        assert self._ending is not None
        return self._ending

    async def _run_orders(self) -> Ending:
        while True:
            if not self.session.lost.is_set() and await self.orders.answer_next():
                continue
            ending = self._due()
            if ending is not None:
                return ending
            await self.inbox.wait_news()

    def _due(self) -> Ending | None:
        """How to close now that nothing is under way."""
        if self._ending is not None:
            return self._ending
        if self.node.draining and (self.orders.expired or not self.session.in_transaction):
            return DRAINING
        return None

    def _end(self, ending: Ending) -> None:
        """When the orders that have come are answered."""
        self._ending = self._ending or ending
        self.inbox.wake()

    def _end_now(self, ending: Ending) -> None:
        """Nothing the client says can be relied on any more; what runs is interrupted."""
        self._ending = ending
        self._hurry.cancel()

    async def _read(self) -> None:
        """The only reader of the socket. It stops reading while the inbox is full."""
        longest = self.context.config.http.max_request_size
        since_checkpoint = 0
        while True:
            message = await self.receive()
            if message["type"] == "websocket.disconnect":
                self.gone.cancel()
                return
            text = message.get("text")
            if text is None:
                self._end_now(BINARY)
                return
            if len(text) * 4 > longest and len(text.encode()) > longest:
                self._end_now(TOO_LONG)
                return
            self._heard_at = trio.current_time()
            self.session.touch()
            order_id, said = await self._understood(text)
            await self._take(order_id, said, len(text))
            since_checkpoint += 1
            if since_checkpoint == AT_ONCE:
                since_checkpoint = 0
                await trio.lowlevel.checkpoint()

    async def _understood(self, text: str) -> tuple[bytes, Said]:
        bodies = self.context.bodies
        if len(text) <= READ_IN_THREAD:
            return messages.read_message(text, bodies)
        decode = partial(_decode_long, context=self.context)
        return await trio.to_thread.run_sync(messages.read_message, text, bodies, decode, limiter=self.context.readers)

    async def _take(self, order_id: bytes, said: Said, size: int) -> None:
        if order_id in self.inbox:
            order_id, said = NO_ID, Faulty(RequestRefused("an order that is under way has the id of this message"))
        if isinstance(said, Ping):
            await self.outbox.put(messages.pong(order_id))
        elif isinstance(said, Cancel):
            self.inbox.cancel(said.target)
            await self.outbox.put(messages.done(order_id, 0.0))
        else:
            self.inbox.put(Order(order_id, said, size, late=self.node.draining))
            if self.inbox.full:
                await self.inbox.wait_room()

    async def _watch_idle(self) -> None:
        longest = self.context.config.engine.idle_evict_seconds
        while True:
            await trio.sleep_until(self._heard_at + longest)
            if self.inbox.busy or self.session.in_transaction:
                self._heard_at = trio.current_time()
            elif self._heard_at + longest <= trio.current_time():
                self._end(IDLE)
                return

    async def _watch_lost(self) -> None:
        await self.session.lost.wait()
        self._end(LOST)

    async def _watch_refused(self) -> None:
        self._end(_farewell(await self.database.wait_refused()))

    async def _watch_drain(self) -> None:
        """Wakes the runner when the node drains; what is still there when the time is over is interrupted."""
        seconds = self.context.config.http.drain_seconds
        while True:
            began = await self.node.wait_draining()
            self.inbox.wake()
            await trio.sleep_until(began + max(seconds - LEAVE_SECONDS, seconds / 2))
            if self.node.draining:
                break
        self.orders.expire()
        self.inbox.wake()


def _farewell(reason: NodeError) -> Ending:
    if isinstance(reason, NotFound):
        return Ending(code=4404, reason=reason.code)
    return Ending(code=1012, reason=f"{reason.code}; retry_after={max(1, round(reason.retry_after or 1))}")


def _decode_long(text: str, context: Context) -> object:
    """In a thread: parameters that are arrays or objects stay text, as in a long body."""
    return read_long(text.encode(), QueryOrder, context.turn)
