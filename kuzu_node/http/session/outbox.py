"""What goes to the client of a session: one task writes, everybody else puts. What has gathered leaves in one write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import attrs
import trio

from kuzu_node.core.groups import unwrapped
from kuzu_node.http.response import Send

# Of messages that wait to be written; with more, whoever puts waits. A single message may be longer.
ROOM: Final = 512 * 1024
# A write costs as much as running a small query, so an answer waits a moment for those that follow at once.
HOLD_SECONDS: Final = 0.002
HOLD_BYTES: Final = 32 * 1024


@attrs.frozen(kw_only=True)
class Ending:
    """Why a socket is closed: what its close frame says."""

    code: int
    reason: str


@attrs.define(eq=False)
class Outbox:
    """Messages in the order in which they are put, each `more` one in the expectation of another."""

    send: Send
    _waiting: list[tuple[bool, bytes]] = attrs.field(factory=list)
    _held: int = 0
    _ending: Ending | None = None
    _due: bool = False
    _idle: trio.Event | None = None
    _holding: trio.Event | None = None
    _room: trio.Event | None = None
    _written: trio.Event = attrs.field(factory=trio.Event)

    @property
    def full(self) -> bool:
        return self._held >= ROOM

    async def put(self, text: bytes, binary: bytes | None = None, *, more: bool = False) -> None:
        """A message, and a binary one that nothing comes between. No checkpoint where there is room."""
        while self.full:
            if self._room is None:
                self._room = trio.Event()
            await self._room.wait()
        self._waiting.append((True, text))
        self._held += len(text)
        if binary is not None:
            self._waiting.append((False, binary))
            self._held += len(binary)
        self._due = self._due or not more or self._held >= HOLD_BYTES
        self._wake()

    async def close(self, ending: Ending) -> None:
        """Returns when everything is written, the close frame last."""
        self._ending = ending
        self._due = True
        self._wake()
        await self._written.wait()

    async def run(self) -> None:
        """Writes until the close frame is out. A client that takes nothing is cut off by the server's own limit."""
        while True:
            while not self._waiting:
                if self._ending is not None:
                    await self._send_close(self._ending)
                    return
                self._idle = trio.Event()
                await self._idle.wait()
            if not self._due:
                with trio.move_on_after(HOLD_SECONDS):
                    self._holding = trio.Event()
                    await self._holding.wait()
                self._holding = None
            messages, self._waiting, self._held, self._due = self._waiting, [], 0, False
            if self._room is not None:
                room, self._room = self._room, None
                room.set()
            await self.send({"type": "websocket.send.many", "messages": messages})

    async def _send_close(self, ending: Ending) -> None:
        await self.send({"type": "websocket.close", "code": ending.code, "reason": ending.reason})
        self._written.set()

    def _wake(self) -> None:
        if self._idle is not None:
            idle, self._idle = self._idle, None
            idle.set()
        elif self._due and self._holding is not None:
            self._holding.set()


@asynccontextmanager
async def open_outbox(send: Send) -> AsyncIterator[Outbox]:
    """An outbox with its task. Leaving the block drops what `close` has not seen out."""
    outbox = Outbox(send)
    with unwrapped():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.run, name="session sender")
            yield outbox
            nursery.cancel_scope.cancel()
