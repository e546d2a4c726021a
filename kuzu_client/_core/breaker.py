"""The circuit breaker of one endpoint: pure, the caller tells the time."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable

import attrs


class BreakerState(enum.Enum):
    """Closed lets everything through, open nothing, half-open a single probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


Listener = Callable[[BreakerState, BreakerState], None]


def _nobody(before: BreakerState, after: BreakerState) -> None:
    return None


@attrs.frozen
class Admission:
    """The right to send one request. Its holder gives it back with its outcome."""

    probe: bool


@attrs.define(eq=False)
class Breaker:
    """Opens after `threshold` failures in a row, for `seconds`; then one call probes, and its outcome decides.

    `threshold` 0 switches it off. Times are of any monotonic clock, in seconds.
    """

    threshold: int
    seconds: float
    on_change: Listener = _nobody
    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    _open_until: float = 0.0

    def admit(self, now: float) -> Admission | None:
        """None while nothing may be sent."""
        if self.state is BreakerState.CLOSED:
            return Admission(probe=False)
        if self.state is BreakerState.OPEN and now >= self._open_until:
            self._move(BreakerState.HALF_OPEN)
            return Admission(probe=True)
        return None

    def seconds_left(self, now: float) -> float:
        """Until it is worth asking again. How long a probe takes, nobody knows: at most as long as it was open."""
        return self._open_until - now if now < self._open_until else self.seconds

    def succeeded(self, admission: Admission) -> None:
        if admission.probe or self.state is BreakerState.CLOSED:
            self.failures = 0
            self._move(BreakerState.CLOSED)

    def failed(self, admission: Admission, now: float) -> None:
        """What was sent before the breaker opened, and fails behind that, tells nothing new."""
        if not self.threshold or (self.state is not BreakerState.CLOSED and not admission.probe):
            return
        self.failures += 1
        if admission.probe or self.failures >= self.threshold:
            self._open_until = now + self.seconds
            self._move(BreakerState.OPEN)

    def abandoned(self, admission: Admission) -> None:
        """The call was cancelled, so it tells nothing: the next one may probe."""
        if admission.probe:
            self._open_until = -math.inf
            self._move(BreakerState.OPEN)

    def _move(self, state: BreakerState) -> None:
        before, self.state = self.state, state
        if before is not state:
            self.on_change(before, state)
