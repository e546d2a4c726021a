"""What a client tells those who want to know: attempts, waits and changes of a breaker's state."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

import attrs

from kuzu_client._core.breaker import BreakerState
from kuzu_client.errors import KuzuAPIError


@attrs.frozen(kw_only=True)
class Attempted:
    """One request has ended. `status` is None without an answer, `error` None with a good one; `seconds` is its time.

    `reused` tells whether it went over a connection that was open already; None where it got none, or the
    transport does not say.
    """

    operation: str
    endpoint: str
    attempt: int
    seconds: float
    status: int | None = None
    error: KuzuAPIError | None = None
    reused: bool | None = None


@attrs.frozen(kw_only=True)
class Waits:
    """A call pauses before its next attempt, because of `error`."""

    operation: str
    endpoint: str
    attempt: int
    seconds: float
    error: KuzuAPIError


@attrs.frozen(kw_only=True)
class BreakerChanged:
    """The breaker of an endpoint has changed its state."""

    endpoint: str
    before: BreakerState
    after: BreakerState


Event = Attempted | Waits | BreakerChanged
Observer = Callable[[Event], None]


@attrs.frozen
class Observers:
    """Those of one client. An observer that raises is logged and does not touch the call."""

    endpoint: str
    observers: tuple[Observer, ...] = ()
    _changes: deque[BreakerChanged] = attrs.field(factory=deque, init=False)

    def tell(self, event: Event) -> None:
        for observer in self.observers:
            try:
                observer(event)
            except Exception:
                logging.getLogger("kuzu_client").exception("an observer failed on %s", type(event).__name__)

    def breaker_changed(self, before: BreakerState, after: BreakerState) -> None:
        """Kept until nothing is locked any more: an observer may itself call."""
        self._changes.append(BreakerChanged(endpoint=self.endpoint, before=before, after=after))

    def tell_changes(self) -> None:
        while True:
            try:
                change = self._changes.popleft()
            except IndexError:
                return
            self.tell(change)
