"""What a query gives back: a whole body, or pieces that are still in the worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs
import trio

from kuzu_node.core import frames, messages
from kuzu_node.core.frames import Frame, FrameError, FrameKind
from kuzu_node.core.groups import unwrapped
from kuzu_node.core.messages import Executed
from kuzu_node.engine.deliveries import Place
from kuzu_node.engine.lanes import Lane, LaneFailed
from kuzu_node.engine.process import WorkerDied
from kuzu_node.engine.translate import statement_error, worker_lost
from kuzu_node.engine.values import Piece, Timing
from kuzu_node.errors import NodeError, Unavailable

PIECE_BYTES = 64 * 1024
# Pieces in flight between the lane and the sender; the producer blocks when they are not taken.
CHANNEL_PIECES = 4


@attrs.frozen
class Outcome:
    """A statement has run. `body` is None where its rows are still in the worker."""

    executed: Executed
    body: bytes | None


def read_outcome(frame: Frame) -> Outcome:
    """From the first frame of an answer. Raises FrameError for what no sound worker sends."""
    payload = frame.payload
    if frame.kind is FrameKind.EXECUTED:
        return Outcome(messages.decode_executed(payload), None)
    if frame.kind is not FrameKind.RESULT:
        raise FrameError(f"an answer begins with {frame.kind.name}")
    # The length of the message, the message, the body.
    end = 4 + int.from_bytes(payload[:4], "little")
    return Outcome(messages.decode_executed(payload[4:end]), payload[end:])


class Pieces:
    """Iterates over the pieces; raises at the end what cut the result short."""

    def __init__(self, receive: trio.MemoryReceiveChannel[Piece]) -> None:
        self._receive = receive
        self.failure: NodeError | None = None

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> Piece:
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            if self.failure is not None:
                raise self.failure from None
            raise StopAsyncIteration from None


@attrs.define(eq=False)
class Answer:
    """`body` is the whole body where it fitted one frame; else the rows come by `delivery()`, once.

    The statement has run: its writes, if it had any, are committed whatever becomes of the rows.
    """

    columns: tuple[str, ...]
    row_count: int
    timing: Timing
    body: bytes | None
    _lane: Lane | None = None
    _place: Place | None = None
    _finish: Callable[[], Awaitable[None]] | None = None
    _stall_timeout: float = 10.0
    _committed: bool = False

    @asynccontextmanager
    async def delivery(self) -> AsyncIterator[Pieces]:
        """The body in pieces of at most 64 KiB. Leaving the block early drops the rest.

        The iteration raises Unavailable when the worker dies, or when the reader has stood still for too long.
        """
        send, receive = trio.open_memory_channel[Piece](CHANNEL_PIECES)
        pieces = Pieces(receive)
        with unwrapped():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._produce, send, pieces, name="producer")
                with receive:
                    yield pieces
                nursery.cancel_scope.cancel()

    async def _produce(self, send: trio.MemorySendChannel[Piece], pieces: Pieces) -> None:
        async with send:
            try:
                await self._relay(send)
            except trio.BrokenResourceError:
                # The reader has left the block; what it has not taken is dropped.
                return
            except WorkerDied as error:
                pieces.failure = worker_lost(error.status, committed=self._committed)
            except LaneFailed as error:
                pieces.failure = statement_error(error.failed)
            except NodeError as error:
                pieces.failure = error
        # The reader may take its last pieces late, or never: lane and place are for others.
        assert self._finish is not None
        await self._finish()

    async def _relay(self, send: trio.MemorySendChannel[Piece]) -> None:
        assert self._lane is not None
        assert self._place is not None
        while True:
            frame = await self._lane.receive(streaming=True)
            if frame.kind is not FrameKind.DATA:
                return
            for piece in _cut(frame):
                await self._hand_on(send, piece, self._place)

    async def _hand_on(self, send: trio.MemorySendChannel[Piece], piece: Piece, place: Place) -> None:
        try:
            send.send_nowait(piece)
        except trio.WouldBlock:
            with trio.move_on_after(self._stall_timeout) as scope, place.stands_still(scope):
                await send.send(piece)
            if scope.cancelled_caught:
                raise _stalled(place.was_cut, self._stall_timeout, committed=self._committed) from None
        place.progress(trio.current_time())


def _stalled(cut: bool, seconds: float, *, committed: bool) -> Unavailable:
    why = "stood still while other results needed the room" if cut else f"took nothing for {seconds:g} s"
    detail = f"the reader of this result {why}"
    return Unavailable(detail, code="pool_exhausted", committed=committed, is_statement=True, retry_after=1)


def _cut(frame: Frame) -> list[Piece]:
    """The frame in pieces of at most 64 KiB; its rows are counted with the last of them."""
    payload, complete = frame.payload, bool(frame.flags & frames.COMPLETE)
    if len(payload) <= PIECE_BYTES:
        return [Piece(body=payload, rows=frame.rows, complete=complete)]
    last = (len(payload) - 1) // PIECE_BYTES * PIECE_BYTES
    pieces = [
        Piece(body=payload[start : start + PIECE_BYTES], rows=0, complete=False)
        for start in range(0, last, PIECE_BYTES)
    ]
    pieces.append(Piece(body=payload[last:], rows=frame.rows, complete=complete))
    return pieces


async def collect(answer: Answer) -> bytes:
    """The body of an answer that was too long for one frame."""
    async with answer.delivery() as pieces:
        return b"".join([piece.body async for piece in pieces])


def whole(executed: Executed, body: bytes, queue_ms: float) -> Answer:
    """An answer that is all there."""
    timing = Timing(queue_ms=queue_ms, execute_ms=executed.execute_ms, encode_ms=executed.encode_ms)
    return Answer(tuple(executed.columns), executed.row_count, timing, body)
