"""Ready-made observers: one that logs, one that counts. Neither sees query text, parameters or keys."""

from __future__ import annotations

import bisect
import logging
import threading
from collections import Counter
from collections.abc import Mapping

import attrs

from kuzu_client._core.breaker import BreakerState
from kuzu_client._core.observers import Attempted, BreakerChanged, Event, Waits

LOGGER = "kuzu_client"
# Upper bounds in seconds; what takes longer than the last is counted behind it.
BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


@attrs.frozen
class LoggingObserver:
    """Attempts at debug, waits at info, an opened breaker at warning; `name` of the logger."""

    name: str = LOGGER

    def __call__(self, event: Event) -> None:
        level, message, values = _record(event)
        logging.getLogger(self.name).log(level, message, extra={"kuzu": values})


def _record(event: Event) -> tuple[int, str, Mapping[str, object]]:
    """The event's name and values: what the message says is only for reading, `extra` for machines."""
    match event:
        case Attempted():
            failed = {} if event.error is None else {"error": type(event.error).__name__, "code": event.error.code}
            values = {
                **_place(event),
                "attempt": event.attempt,
                "status": event.status,
                "seconds": round(event.seconds, 6),
                "reused": event.reused,
                **failed,
            }
            return logging.DEBUG, _told("attempted", values), values
        case Waits():
            values = {
                **_place(event),
                "attempt": event.attempt,
                "seconds": round(event.seconds, 6),
                "error": type(event.error).__name__,
                "code": event.error.code,
            }
            return logging.INFO, _told("waits", values), values
        case BreakerChanged():
            values = {"endpoint": event.endpoint, "before": event.before.value, "after": event.after.value}
            level = logging.WARNING if event.after is BreakerState.OPEN else logging.INFO
            return level, _told("breaker_changed", values), values


def _place(event: Attempted | Waits) -> dict[str, object]:
    return {"operation": event.operation, "endpoint": event.endpoint}


def _told(name: str, values: Mapping[str, object]) -> str:
    return " ".join([name, *(f"{key}={value}" for key, value in values.items() if value not in (None, ""))])


@attrs.frozen(kw_only=True)
class OperationStatistics:
    """Of the attempts at one operation. Times in seconds, for streams until their head.

    `histogram` counts them up to each of BOUNDS, and in a last place those beyond.
    """

    count: int = 0
    errors: int = 0
    total: float = 0.0
    longest: float = 0.0
    histogram: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    def quantile(self, share: float) -> float:
        """An upper bound of the time in which `share` (0 to 1) of the attempts ended."""
        wanted, seen = share * self.count, 0
        for bound, count in zip(BOUNDS, self.histogram, strict=False):
            seen += count
            if seen >= wanted:
                return min(bound, self.longest)
        return self.longest

    def after(self, event: Attempted) -> OperationStatistics:
        place = bisect.bisect_left(BOUNDS, event.seconds)
        return OperationStatistics(
            count=self.count + 1,
            errors=self.errors + (event.error is not None),
            total=self.total + event.seconds,
            longest=max(self.longest, event.seconds),
            histogram=tuple(count + (index == place) for index, count in enumerate(self.histogram)),
        )


@attrs.frozen(kw_only=True)
class ClientStatistics:
    """Since the observer was made. `connections_reused` counts requests over connections that were open already."""

    operations: Mapping[str, OperationStatistics]
    retries: int
    breaker_trips: int
    connections_opened: int
    connections_reused: int


class CountingObserver:
    """May be given to several clients and called by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._operations: dict[str, OperationStatistics] = {}
        self._counts: Counter[str] = Counter()

    def __call__(self, event: Event) -> None:
        with self._lock:
            match event:
                case Attempted():
                    before = self._operations.get(event.operation) or OperationStatistics()
                    self._operations[event.operation] = before.after(event)
                    if event.reused is not None:
                        self._counts["reused" if event.reused else "opened"] += 1
                case Waits():
                    self._counts["retries"] += 1
                case BreakerChanged():
                    self._counts["trips"] += event.after is BreakerState.OPEN

    def statistics(self) -> ClientStatistics:
        with self._lock:
            return ClientStatistics(
                operations=dict(self._operations),
                retries=self._counts["retries"],
                breaker_trips=self._counts["trips"],
                connections_opened=self._counts["opened"],
                connections_reused=self._counts["reused"],
            )
