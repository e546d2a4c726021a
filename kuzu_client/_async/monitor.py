"""The events of a task, whatever becomes of the connection: resumed, and asked for where there are none to be had."""

from __future__ import annotations

import math
from collections import deque
from types import TracebackType
from typing import Self

import attrs

from kuzu_client._async.caller import AsyncCaller
from kuzu_client._async.concurrency import now, sleep
from kuzu_client._async.results import AsyncBody
from kuzu_client._core import outcomes, requests
from kuzu_client._core.events import ENDS, EventDecoder, task_event
from kuzu_client._core.results import as_answer
from kuzu_client.answers import TaskEvent, TaskStatus
from kuzu_client.errors import KuzuAPIError, KuzuTimeoutError, KuzuTransientError

# The node sends a heartbeat every 15 s: behind three of them the connection is lost.
SILENT_STREAM_SECONDS = 45.0
# Streams that broke in a row without an event: behind so many, the way lets none through.
BREAKS = 3
# Between two questions for a task's state: at first the client's `retry_delay`, each time so much longer, within these.
POLL_GROWTH, POLL_SHORTEST, POLL_LONGEST = 1.5, 0.1, 10.0
# How long the node may be out of reach, as while it restarts, before its error is raised.
UNREACHABLE_SECONDS = 300.0


class AsyncTaskEvents:
    """Iterating gives events up to `completed` or `failed`; who leaves before that uses a block.

    Raises KuzuTimeoutError when the task has not ended within `seconds`, which stops no task, and KuzuClientError for a
    task that the node does not know.
    """

    def __init__(self, caller: AsyncCaller, task_id: str, seconds: float | None = None) -> None:
        self._caller = caller
        self._task_id = task_id
        self._seconds = math.inf if seconds is None else seconds
        self._deadline = math.inf
        self._body: AsyncBody | None = None
        self._decoder = EventDecoder()
        self._events: deque[TaskEvent] = deque()
        self._breaks = 0
        self._pause = caller.config.retry_delay
        self._heard: float | None = None
        self._ended = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        self._ended = True
        await self._leave()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TaskEvent:
        if self._ended:
            raise StopAsyncIteration
        if self._heard is None:
            self._heard = now()
            self._deadline = self._heard + self._seconds
        try:
            while not self._events:
                await self._more()
        except BaseException:
            await self.aclose()
            raise
        event = self._events.popleft()
        if event["event"] in ENDS:
            await self.aclose()
        return event

    async def _more(self) -> None:
        """Wait for what comes next, which need not be an event."""
        if self._breaks < BREAKS:
            await self._listen()
            return
        await self._rest(self._pause)
        self._pause = min(max(self._pause * POLL_GROWTH, POLL_SHORTEST), POLL_LONGEST)
        event = await self._asked()
        if event is not None:
            self._events.append(event)

    async def _listen(self) -> None:
        """Take a piece of the stream. Where it breaks off, the task may have ended unheard."""
        stream = self._stream()
        try:
            piece = await stream.next()
        except KuzuTransientError:
            piece = None
        except KuzuAPIError as error:
            if error.code == "unknown_task":
                raise
            piece, self._breaks = None, BREAKS
        if piece is not None:
            self._take(piece)
            return
        await self._leave()
        self._breaks += 1
        event = await self._asked()
        if event is not None and event["event"] in ENDS:
            self._events.append(event)
        elif self._breaks < BREAKS:
            await self._rest(self._decoder.retry or self._caller.config.retry_delay)

    def _take(self, piece: bytes) -> None:
        self._heard = now()
        for found in self._decoder.feed(piece):
            event = task_event(found)
            if event is not None:
                self._breaks = 0
                self._events.append(event)

    def _stream(self) -> AsyncBody:
        seconds = min(SILENT_STREAM_SECONDS, self._left())
        if self._body is None:
            retry, self._decoder = self._decoder.retry, EventDecoder(self._decoder.last_id)
            self._decoder.retry = retry
            call = requests.monitor(self._task_id, self._decoder.last_id, timeout=seconds)
            self._body = AsyncBody(self._caller.open_stream(call))
        return self._body

    async def _leave(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            await body.aclose()

    async def _asked(self) -> TaskEvent | None:
        """The state of the task as an event; None while the node is out of reach."""
        call = requests.task("get_task_status", self._task_id, "status")
        seconds = min(self._caller.config.timeout, self._left())
        try:
            answer = await self._caller.call(attrs.evolve(call, timeout=seconds))
        except KuzuTransientError:
            if now() - (self._heard or 0.0) >= UNREACHABLE_SECONDS:
                raise
            return None
        self._heard = now()
        return outcomes.from_status(as_answer(TaskStatus, answer))

    async def _rest(self, seconds: float) -> None:
        await sleep(min(seconds, self._left()))

    def _left(self) -> float:
        """Seconds. Raises KuzuTimeoutError when there are none."""
        left = self._deadline - now()
        if left <= 0:
            raise KuzuTimeoutError(f"task {self._task_id} has not ended within {self._seconds:g} s")
        return left
