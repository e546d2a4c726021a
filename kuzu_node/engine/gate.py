"""The gate of one database: statements pass it together, a checkpoint alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

# How long the exclusive side holds new statements back before it lets them through again.
HOLD_BACK = 1.0


class GateBusy(Exception):
    """Those inside did not leave in time; newcomers have been let through again."""


class Gate:
    """Only the holder of the writer lock asks for the exclusive side, so there is never a second one.

    A task that is inside must not enter again: it would wait for itself while the exclusive side holds back.
    """

    def __init__(self) -> None:
        self._inside = 0
        self._closed = False
        self._opened = trio.Event()
        self._emptied = trio.Event()

    def enter_nowait(self) -> bool:
        """Whether the caller is inside now; each True is matched by one `leave`."""
        if self._closed:
            return False
        self._inside += 1
        return True

    async def enter(self) -> None:
        """Waits while the gate is closed."""
        while not self.enter_nowait():
            await self._opened.wait()

    def leave(self) -> None:
        self._inside -= 1
        if not self._inside:
            self._emptied.set()

    @asynccontextmanager
    async def exclusive(self, patience: float = HOLD_BACK) -> AsyncIterator[None]:
        """Alone inside. Holds newcomers back while it waits, for `patience` seconds; then raises GateBusy.

        Cancellable while it waits; the body is the caller's to shield.
        """
        if not await self._try_to_close(patience):
            raise GateBusy
        try:
            yield
        finally:
            self._open()

    async def _try_to_close(self, patience: float) -> bool:
        self._closed = True
        self._opened = trio.Event()
        try:
            with trio.move_on_after(patience):
                while self._inside:
                    self._emptied = trio.Event()
                    await self._emptied.wait()
                return True
        except BaseException:
            self._open()
            raise
        self._open()
        return False

    def _open(self) -> None:
        self._closed = False
        self._opened.set()

    @property
    def inside(self) -> int:
        return self._inside

    @property
    def closed(self) -> bool:
        return self._closed
