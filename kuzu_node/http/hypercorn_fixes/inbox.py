"""What has arrived for an app and was not yet received by it. Putting a disconnect in never waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import trio


class BodyInbox:
    """The body of one request, then `http.disconnect` for ever.

    With a `limit` in bytes the putting side waits for room. `before` is awaited ahead of the first receive,
    `taken` with the number of bytes each time the app has received some.
    """

    def __init__(
        self,
        *,
        limit: int | None = None,
        before: Callable[[], Awaitable[None]] | None = None,
        taken: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        self._limit = limit
        self._before = before
        self._taken = taken
        self._body = bytearray()
        self._ended = False
        self._told = False
        self._gone = False
        self._news: trio.Event | None = None
        self._room: trio.Event | None = None

    async def __call__(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.disconnect":
            self._gone = True
            self._free()
        else:
            self._body += message["body"]
            self._ended = not message["more_body"]
        if self._news is not None:
            self._news.set()
        while self._limit is not None and len(self._body) >= self._limit and not self._gone:
            self._room = trio.Event()
            await self._room.wait()

    def drop(self) -> int:
        """Forgets what the app has not received. Returns its size in bytes."""
        size = len(self._body)
        self._body.clear()
        return size

    async def receive(self) -> dict[str, Any]:
        """No checkpoint while something is there: the side that puts is bounded, so the next call will wait."""
        if self._before is not None:
            before, self._before = self._before, None
            await before()
        while not self._body and not (self._ended and not self._told) and not self._gone:
            self._news = trio.Event()
            await self._news.wait()
        if self._body or (self._ended and not self._told):
            return await self._take()
        await trio.lowlevel.checkpoint()
        return {"type": "http.disconnect"}

    async def _take(self) -> dict[str, Any]:
        body = bytes(self._body)
        self._body.clear()
        # Decided before anything is awaited: what comes meanwhile, and the end after it, are of the next message.
        more = not self._ended
        self._told = self._ended
        self._free()
        if self._taken is not None and body:
            await self._taken(len(body))
        return {"type": "http.request", "body": body, "more_body": more}

    def _free(self) -> None:
        if self._room is not None:
            self._room.set()


class MessageInbox:
    """Messages of a WebSocket, then `websocket.disconnect` for ever. `limit` is in bytes (characters of a text)."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._messages: deque[dict[str, Any]] = deque()
        self._farewell: dict[str, Any] | None = None
        self._gone = trio.Event()
        self._news = trio.Event()
        self._room = trio.Event()

    async def __call__(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.disconnect":
            self._farewell = message
            self._gone.set()
            self._room.set()
        else:
            self._messages.append(message)
            self._held += _size(message)
        self._news.set()
        while self._held >= self._limit and self._farewell is None:
            self._room = trio.Event()
            await self._room.wait()

    async def wait_gone(self) -> None:
        """Until `websocket.disconnect` has come, whatever is still to be received before it."""
        await self._gone.wait()

    async def receive(self) -> dict[str, Any]:
        while not self._messages and self._farewell is None:
            self._news = trio.Event()
            await self._news.wait()
        if self._messages:
            message = self._messages.popleft()
            self._held -= _size(message)
            self._room.set()
            return message
        await trio.lowlevel.checkpoint()
        assert self._farewell is not None
        return self._farewell


def _size(message: dict[str, Any]) -> int:
    return len(message.get("bytes") or message.get("text") or "")
