"""How many of something there are under each name, bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import attrs


@attrs.define(eq=False)
class Seats:
    """`most` for each name."""

    most: int
    _taken: Counter[str] = attrs.field(factory=Counter)

    @property
    def total(self) -> int:
        return self._taken.total()

    def count(self, name: str) -> int:
        return self._taken[name]

    def full(self, name: str) -> bool:
        return self._taken[name] >= self.most

    @contextmanager
    def taken(self, name: str) -> Iterator[None]:
        """One, for the time of the block. Whoever enters has asked whether it is `full`."""
        self._taken[name] += 1
        try:
            yield
        finally:
            self._taken[name] -= 1
            if not self._taken[name]:
                del self._taken[name]
