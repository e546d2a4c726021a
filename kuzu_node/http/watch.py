"""Cancels requests whose time is up or whose client has gone, without a task or a timer for each of them.

A nursery with a watcher costs as much as a whole short query, and a deadline of trio a tenth of one. So a request only
leaves a note here, and one task takes over those that still run after `delay` seconds: it sets their deadline, and
gives them a reader of `receive` that waits for the disconnect.
"""

from __future__ import annotations

import collections
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self

import attrs
import trio

from kuzu_node.core.groups import unwrapped
from kuzu_node.http.response import Receive

WATCH_DELAY: Final = 0.025


@attrs.define(eq=False)
class Watched:
    """The scope of one request, as a context manager: it catches the cancellation that it brought about."""

    watch: Watch
    receive: Receive
    due: float
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    client_gone: bool = False
    ended: bool = False
    taken: bool = False
    listens: bool = False
    listener: trio.CancelScope | None = None
    deadline: float = math.inf

    def expect(self, seconds: float) -> None:
        """Cancel the request when it has not moved on (`expect` or `relax` again) after `seconds`."""
        self._set_deadline(trio.current_time() + seconds)
        if seconds < 2 * self.watch.delay:
            self.take()

    def relax(self) -> None:
        """The request may take its time from here on."""
        self._set_deadline(math.inf)

    def listen(self) -> None:
        """From now on the client's going cancels the request. Nobody else may read `receive` until the block ends."""
        if not self.listens:
            self.listens = True
            if self.taken:
                self.watch.nursery.start_soon(_listen, self)

    def take(self) -> None:
        """From now on the deadline is trio's, and there is a listener where one was asked for."""
        if not self.taken and not self.ended:
            self.taken = True
            self.scope.deadline = self.deadline
            if self.listens:
                self.watch.nursery.start_soon(_listen, self)

    def _set_deadline(self, deadline: float) -> None:
        self.deadline = deadline
        if self.taken:
            self.scope.deadline = deadline

    def __enter__(self) -> Self:
        self.scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.ended = True
        if self.listener is not None:
            self.listener.cancel()
        return self.scope.__exit__(kind, error, trace)


@attrs.define(eq=False)
class Watch:
    """Hands out `Watched` scopes; `open_watch` runs its task. `nursery` holds the listeners."""

    nursery: trio.Nursery
    delay: float
    _notes: collections.deque[Watched] = attrs.field(init=False, factory=collections.deque)
    _noted: trio.Event = attrs.field(init=False, factory=trio.Event)

    def over(self, receive: Receive) -> Watched:
        """A scope for a request that begins now."""
        watched = Watched(self, receive, trio.current_time() + self.delay)
        self._notes.append(watched)
        self._noted.set()
        return watched

    async def run(self) -> None:
        """Take over each request that lasts. A busy node wakes this task once in `delay` seconds."""
        notes = self._notes
        while True:
            await self._noted.wait()
            while notes:
                await trio.sleep(self.delay)
                now = trio.current_time()
                while notes and notes[0].due <= now:
                    notes.popleft().take()
            self._noted = trio.Event()


@asynccontextmanager
async def open_watch(delay: float = WATCH_DELAY) -> AsyncIterator[Watch]:
    """A running watch; leaving the block ends its task and every listener."""
    with unwrapped():
        async with trio.open_nursery() as nursery:
            watch = Watch(nursery, delay)
            nursery.start_soon(watch.run, name="watch over requests")
            yield watch
            nursery.cancel_scope.cancel()


async def _listen(watched: Watched) -> None:
    if watched.ended:
        return
    with trio.CancelScope() as scope:
        watched.listener = scope
        while (await watched.receive())["type"] != "http.disconnect":
            pass
        watched.client_gone = True
        watched.scope.cancel()
