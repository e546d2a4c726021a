"""The lanes of one worker: each a socket to a thread with a Connection, lent to one request at a time."""

from __future__ import annotations

import itertools

import attrs
import trio

from kuzu_node.core import messages
from kuzu_node.core.frames import MAX_PAYLOAD, Frame, FrameError, FrameKind
from kuzu_node.core.messages import Failed, Run
from kuzu_node.engine.process import FrameSocket, WorkerDied, WorkerProcess

LANES_PER_SLOT = 4
_LAST = frozenset({FrameKind.RESULT, FrameKind.END, FrameKind.ERROR})
_FIRST = frozenset({FrameKind.EXECUTED, FrameKind.RESULT, FrameKind.ERROR})
_LATER = frozenset({FrameKind.DATA, FrameKind.END, FrameKind.ERROR})


class LaneFailed(Exception):
    """The worker refused or failed the request; it goes on."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.detail)
        self.failed = failed


class NotSent(WorkerDied):
    """The worker had ended before the request: nothing of it has run."""


@attrs.define(eq=False)
class Lane:
    """`request_id` is 0 while nothing is under way; a lane is not lent again before that."""

    number: int
    socket: FrameSocket
    process: WorkerProcess
    request_id: int = 0
    _expected: frozenset[FrameKind] = _FIRST

    @property
    def delivering(self) -> bool:
        """The request under way has run; what is left of it is the writing of its rows."""
        return self.request_id != 0 and self._expected is _LATER

    async def run(self, request_id: int, order: Run) -> Frame:
        """Sends the order; its first frame. Raises LaneFailed or WorkerDied."""
        payload = messages.encode(order)
        if len(payload) > MAX_PAYLOAD:
            raise LaneFailed(Failed("too_large", f"the statement and its parameters take {len(payload)} bytes", False))
        self.request_id, self._expected = request_id, _FIRST
        try:
            await self.socket.send(FrameKind.RUN, request_id, payload)
        except EOFError:
            raise NotSent((await self.process.gone()).status) from None
        except trio.TooSlowError as error:
            raise await self.process.distrust(error) from error
        return await self.receive()

    async def receive(self, *, streaming: bool = False) -> Frame:
        """The next frame of the request under way. Raises LaneFailed or WorkerDied."""
        try:
            frame = await self.socket.receive(streaming=streaming)
            failed = self._judge(frame)
        except EOFError:
            raise await self.process.gone() from None
        except FrameError as error:
            raise await self.process.distrust(error) from error
        if frame.kind in _LAST:
            self.request_id = 0
            if failed is not None:
                raise LaneFailed(failed)
        return frame

    def _judge(self, frame: Frame) -> Failed | None:
        """What a worker whose memory is damaged might say must not pass for the end of a result. Raises FrameError."""
        if frame.request_id != self.request_id or frame.kind not in self._expected:
            raise FrameError(f"{frame.kind.name} {frame.request_id} is no answer to request {self.request_id}")
        self._expected = _LATER
        if frame.kind is FrameKind.END:
            messages.decode_ended(frame.payload)
        return messages.decode_failed(frame.payload) if frame.kind is FrameKind.ERROR else None

    async def drain(self) -> Frame | Failed:
        """Reads and drops until the request has ended; its last frame, or how it failed."""
        while True:
            try:
                frame = await self.receive(streaming=True)
            except LaneFailed as error:
                return error.failed
            if not self.request_id:
                return frame


class Lanes:
    """Made on demand up to `limit`, lent last in first out."""

    def __init__(self, process: WorkerProcess, limit: int) -> None:
        self._process = process
        self._limit = limit
        self._idle: list[Lane] = []
        self._all: list[Lane] = []
        self._returned = trio.Event()
        self._making = 0
        self._kept = 0
        self._numbers = itertools.count(1)

    async def take(self) -> Lane:
        """A lane of one's own until `give_back`. Waits only while all are lent."""
        while True:
            if self._idle:
                return self._idle.pop()
            if len(self._all) + self._making < self._limit:
                return await self._make()
            await self._returned.wait()

    async def _make(self) -> Lane:
        self._making += 1
        # Never one twice: the worker finds a request's lane, and the lane of an open bulk statement, by it.
        number = next(self._numbers)
        try:
            lane = Lane(number, await self._process.add_lane(number), self._process)
        finally:
            self._making -= 1
        self._all.append(lane)
        return lane

    def give_back(self, lane: Lane) -> None:
        """Only a lane at rest comes back; another is lost with its worker."""
        if not lane.request_id:
            self._idle.append(lane)
            returned, self._returned = self._returned, trio.Event()
            returned.set()

    def keep(self) -> bool:
        """Whether the borrower of a lane may have it for good: another is made in its place. At most half of them."""
        if self._kept >= (self._limit - self._kept) // 2:
            return False
        self._kept += 1
        self._limit += 1
        return True

    def lend_again(self, lane: Lane) -> None:
        """The end of `keep`."""
        self._kept -= 1
        self._limit -= 1
        self.give_back(lane)

    def retire(self) -> None:
        """The end of `keep`, where the lane cannot be lent again: the one that was made in its place stays."""
        self._kept -= 1

    @property
    def lent(self) -> int:
        return len(self._all) - len(self._idle)

    def numbers(self) -> list[int]:
        """Of all that have been made."""
        return [lane.number for lane in self._all]

    def close(self) -> None:
        for lane in self._all:
            lane.socket.close()
