"""Results that are being read: bounded in number and in the memory they hold in the engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import trio

# Measured on 1M rows of 3 and 4 columns: 10 to 13 bytes a value in the engine's buffer pool.
BYTES_PER_VALUE = 16
# Where room is short, a reader that has taken nothing for this long gives up its place.
STALLED_SECONDS = 1.0


@attrs.define(eq=False)
class Place:
    """One result's place. `was_cut`: another result needed the room and this one's reader stood still."""

    estimated_bytes: int
    progressed_at: float
    was_cut: bool = False
    _scope: trio.CancelScope | None = None

    def progress(self, now: float) -> None:
        self.progressed_at = now

    @contextmanager
    def stands_still(self, scope: trio.CancelScope) -> Iterator[None]:
        """While in the block the reader takes nothing, and `cut` cancels the scope."""
        self._scope = scope
        try:
            yield
        finally:
            self._scope = None

    def cut(self) -> None:
        self.was_cut = True
        if self._scope is not None:
            self._scope.cancel()

    @property
    def is_still(self) -> bool:
        return self._scope is not None and not self.was_cut


class NoRoom(Exception):
    """Too many results wait for room already."""


class Deliveries:
    """`places` results at most, and `max_bytes` unless there is only one.

    At most `waiting` of them wait for room. Each still holds its slot, which is the backpressure; the slots beyond that
    number are never held so, and short queries find one however many readers stand still.
    """

    def __init__(self, places: int, max_bytes: int, *, waiting: int) -> None:
        self._limit = places
        self._max_bytes = max_bytes
        self._most_waiting = waiting
        self._waiting = 0
        self._places: set[Place] = set()
        self._changed = trio.Event()
        # In the order of arrival: else small results would pass a large one for ever.
        self._line = trio.Lock()

    async def enter(self, values: int) -> Place:
        """Room for a result of so many values. Raises NoRoom when as many as may wait do so already."""
        estimated = values * BYTES_PER_VALUE
        if not self._waiting and self._has_room(estimated):
            return self._take(estimated)
        if self._waiting >= self._most_waiting:
            raise NoRoom
        self._waiting += 1
        try:
            async with self._line:
                while not self._has_room(estimated):
                    self._changed = trio.Event()
                    with trio.move_on_at(self._cut_stalled(trio.current_time())):
                        await self._changed.wait()
                return self._take(estimated)
        finally:
            self._waiting -= 1

    def _take(self, estimated: int) -> Place:
        place = Place(estimated, trio.current_time())
        self._places.add(place)
        return place

    def leave(self, place: Place) -> None:
        self._places.discard(place)
        self._changed.set()

    def _has_room(self, estimated: int) -> bool:
        if not self._places:
            return True
        held = sum(place.estimated_bytes for place in self._places)
        return len(self._places) < self._limit and held + estimated <= self._max_bytes

    def _cut_stalled(self, now: float) -> float:
        """Cuts the reader that has stood still longest; when to look again if none has stood still for long enough."""
        reading = [place for place in self._places if place.is_still]
        if not reading:
            return now + STALLED_SECONDS
        longest = min(reading, key=lambda place: place.progressed_at)
        due = longest.progressed_at + STALLED_SECONDS
        if due <= now:
            longest.cut()
            return now + STALLED_SECONDS
        return due

    @property
    def count(self) -> int:
        return len(self._places)
