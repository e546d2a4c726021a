"""What goes over the socket of a session: orders out, answers in, and the end of it. `session` runs its tasks.

Posting an order is synchronous: it is certain to be sent unless it is withdrawn or the session ends, whatever becomes
of the task that posted it. So cancelling a task never tears a message, and never waits for the node.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

import attrs
import trio
from trio_websocket import ConnectionClosed
from wsproto.utilities import ProtocolError

from kuzu_client.session.losses import Loss
from kuzu_client.session.orders import Pending, Progress
from kuzu_client.session.protocol import Batch, Conversation, Effect, Kind, Phase, ProtocolViolation, order_text
from kuzu_client.session.socket import Socket

# Orders that a session has at the node at once; who asks for more waits for one to end. The node reads 256 ahead.
UNDER_WAY: Final = 64
# Each order may be followed by its cancel and the rollback of its transaction.
OUTBOX: Final = 4 * UNDER_WAY
KEEPALIVE_SECONDS: Final = 20.0
CLOSING_SECONDS: Final = 2.0
PROTOCOL_ERROR: Final = 1002


def _outbox() -> tuple[trio.MemorySendChannel[Pending], trio.MemoryReceiveChannel[Pending]]:
    return trio.open_memory_channel[Pending](OUTBOX)


@attrs.define(eq=False)
class Traffic:
    """`readers` are the tasks that read a stream of this session."""

    _socket: Socket
    readers: dict[trio.lowlevel.Task, Progress] = attrs.field(factory=dict)
    _conversation: Conversation[Pending] = attrs.field(factory=Conversation)
    _ids: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))
    _slots: trio.Semaphore = attrs.field(factory=lambda: trio.Semaphore(UNDER_WAY))
    _channels: tuple[trio.MemorySendChannel[Pending], trio.MemoryReceiveChannel[Pending]] = attrs.field(factory=_outbox)
    _loss: Loss | None = None
    _delivering: bool = False
    _heard: int = 0

    @property
    def under_way(self) -> int:
        return len(self._conversation.under_way)

    @property
    def lost(self) -> bool:
        return self._loss is not None

    def new_id(self) -> int:
        return next(self._ids)

    def order(self, kind: Kind, *, read_only: bool = False, target: int | None = None) -> Pending:
        """Of all kinds but queries."""
        order_id = self.new_id()
        effect = Effect.UNKNOWN if kind is Kind.COMMIT and not read_only else Effect.NONE
        read_only = read_only and kind is Kind.BEGIN
        return Pending(order_id, kind, order_text(order_id, kind, read_only=read_only, target=target), effect)

    async def enter(self, order: Pending) -> None:
        """Post it as soon as there is room for one more under way. No checkpoint where there is."""
        if self._loss is None:
            try:
                self._slots.acquire_nowait()
            except trio.WouldBlock:
                await self._slots.acquire()
            order.holds_slot = True
        self.post(order)

    def post(self, order: Pending) -> None:
        """Raises the session's error when it has ended."""
        if self._loss is not None:
            self._give_back(order)
            raise self._loss.error()
        self._conversation.under_way[order.id] = order
        self._channels[0].send_nowait(order)

    async def ping(self) -> None:
        """Returns when the node has answered."""
        order = self.order(Kind.PING)
        await self.enter(order)
        try:
            await order.ended.wait()
        except BaseException:
            self.abandon(order, cancel=False)
            raise
        if order.failure is not None:
            raise order.failure

    def abandon(self, order: Pending, *, cancel: bool = True) -> None:
        """Nobody waits for it any more. `cancel` asks the node to stop it; what is not sent yet never will be."""
        if order.phase is Phase.ENDED:
            return
        order.drop()
        if order.phase is Phase.WAITING:
            self._end(order)
        elif cancel:
            follower = self.order(Kind.CANCEL, target=order.id)
            follower.abandoned = True
            self.post(follower)

    def lose(self, loss: Loss) -> None:
        """The session has ended: everybody who waits is told. The first reason counts."""
        if self._loss is not None:
            return
        self._loss = loss
        for order in list(self._conversation.under_way.values()):
            if order.kind is not Kind.CANCEL:
                order.failure = loss.error(order)
            self._end(order)

    async def run_sender(self) -> None:
        """What has been posted since the last write goes out in one."""
        _, outbox = self._channels
        try:
            while True:
                posted = [await outbox.receive()]
                posted += _waiting(outbox)
                texts = [order.text for order in posted if order.phase is Phase.WAITING]
                for order in posted:
                    if order.phase is Phase.WAITING:
                        self._conversation.sent(order)
                if texts:
                    await self._socket.send(texts)
        except (ConnectionClosed, ProtocolError):
            return  # the receiver learns why

    async def run_receiver(self) -> None:
        messages = self._socket.messages
        try:
            while True:
                await self._take(await messages.get_message())
        except ConnectionClosed as closed:
            self.lose(Loss.from_close(closed.reason))
        except ProtocolViolation as violation:
            self.lose(Loss.from_violation(str(violation.args[0]), violation))
            with trio.move_on_after(CLOSING_SECONDS, shield=True):
                await self._socket.aclose(PROTOCOL_ERROR)

    async def run_keepalive(self) -> None:
        """A node that says nothing for a while is asked whether it is there. Not while a reader holds up the socket.

        A ping is never cut off in its midst, which would tear its frame: a task of its own waits for the pong.
        """
        async with trio.open_nursery() as nursery:
            while self._loss is None:
                heard = self._heard
                await trio.sleep(KEEPALIVE_SECONDS)
                if self._heard != heard or self._delivering:
                    continue
                answered = trio.Event()
                nursery.start_soon(self._ping, answered)
                while not answered.is_set():
                    heard = self._heard
                    with trio.move_on_after(KEEPALIVE_SECONDS):
                        await answered.wait()
                    if not answered.is_set() and self._heard == heard and not self._delivering:
                        self.lose(Loss.silent())
                        await trio.aclose_forcefully(self._socket.stream)
                        nursery.cancel_scope.cancel()

    async def aclose(self) -> None:
        """What is under way fails. Waits a bounded time for the node to take leave."""
        self.lose(Loss.left())
        with trio.move_on_after(CLOSING_SECONDS, shield=True):
            await self._socket.aclose()

    async def _ping(self, answered: trio.Event) -> None:
        try:
            await self._socket.messages.ping()
        except (ConnectionClosed, ProtocolError):
            return
        finally:
            answered.set()

    async def _take(self, message: str | bytes) -> None:
        self._heard += 1
        taken = self._conversation.receive(message)
        if taken is None:
            return
        order, batch = taken
        if not order.abandoned and batch is not None:
            if order.channel is None:
                order.collected.append(batch)
            else:
                await self._deliver(order, order.channel, batch)
        if order.phase is Phase.ENDED:
            self._end(order)
        elif order.channel is not None:
            order.head.set()

    async def _deliver(self, order: Pending, channel: trio.MemorySendChannel[Batch], batch: Batch) -> None:
        """A reader that does not keep up is waited for, and nothing else is read meanwhile: answers come in order."""
        order.head.set()
        try:
            channel.send_nowait(batch)
        except trio.WouldBlock:
            self._delivering = True
            try:
                await channel.send(batch)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                order.drop()
            finally:
                self._delivering = False
                self._heard += 1
        except trio.BrokenResourceError:
            order.drop()

    def _end(self, order: Pending) -> None:
        self._conversation.end(order)
        self._give_back(order)
        order.wake()

    def _give_back(self, order: Pending) -> None:
        if order.holds_slot:
            order.holds_slot = False
            self._slots.release()


def _waiting(outbox: trio.MemoryReceiveChannel[Pending]) -> Iterator[Pending]:
    while True:
        try:
            yield outbox.receive_nowait()
        except trio.WouldBlock:
            return
