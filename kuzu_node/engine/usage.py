"""How much databases are used: an increment a query, read by metrics."""

from __future__ import annotations

import math
import time
from collections import deque

import attrs

from kuzu_node.engine.meta import iso_time

_REMEMBERED = 2048


@attrs.define(eq=False)
class Latencies:
    """The node's last queries, in milliseconds, without delivery."""

    _last: deque[float] = attrs.field(factory=lambda: deque(maxlen=_REMEMBERED))

    def add(self, milliseconds: float) -> None:
        self._last.append(milliseconds)

    def percentiles(self, *shares: float) -> tuple[float, ...]:
        """By nearest rank; zeros when there was no query."""
        values = sorted(self._last)
        if not values:
            return tuple(0.0 for _ in shares)
        return tuple(values[max(0, math.ceil(share * len(values)) - 1)] for share in shares)


@attrs.define(eq=False)
class Usage:
    """One database's. `last_accessed` is None until it is first used."""

    latencies: Latencies
    queries: int = 0
    _last_used: float | None = None

    def count(self, milliseconds: float) -> None:
        self.queries += 1
        self.latencies.add(milliseconds)
        self._last_used = time.time()

    @property
    def last_accessed(self) -> str | None:
        return None if self._last_used is None else iso_time(self._last_used)
