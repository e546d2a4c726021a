"""When a call is sent again: one generator for both clients, without a clock or a socket.

`attempts` yields what is to be done next (Send, Wait) and is sent what came of it, with the time at which it came.
It returns when an answer is good and raises what the caller is to get.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import attrs

from kuzu_client._core.breaker import Admission, Breaker
from kuzu_client._core.calls import Replay
from kuzu_client.errors import KuzuAPIError, ServiceUnavailableError

RETRIED = frozenset({429, 502, 503, 504})
# The node's time limit: some of the work may be done, so only what is safe to repeat is.
TIMED_OUT = 408
# Those tell that the node, or the way to it, is not well ..
FAILURES = frozenset({500, 502, 503, 504})
# .. unless one database alone is not: the breaker must not keep a client's other databases from being asked.
OF_ONE_DATABASE = frozenset(
    {"database_restarting", "database_failed", "statement_quarantined", "pool_exhausted", "queue_full"}
)


@attrs.frozen
class Send:
    """Send the request; `seconds` are left for it."""

    attempt: int
    seconds: float


@attrs.frozen
class Wait:
    """Wait before the next attempt."""

    attempt: int
    seconds: float
    error: KuzuAPIError


@attrs.frozen
class Answered:
    """The head of an answer, with its error unless it is a good one."""

    now: float
    error: KuzuAPIError | None = None


@attrs.frozen
class Lost:
    """No answer. `sent` is False only where it is certain that the node has not got the request.

    `blame` False: it does not speak against the node, as when the client's own pool was exhausted.
    """

    now: float
    error: KuzuAPIError
    sent: bool
    blame: bool = True


@attrs.frozen
class Waited:
    now: float


Step = Send | Wait
Outcome = Answered | Lost | Waited


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """Delays are `delay * backoff^n`, of which a random part is waited (full jitter), and at least a `Retry-After`.

    `random` gives numbers from 0 up to 1. `retries` 0 sends once.
    """

    retries: int
    delay: float
    backoff: float
    random: Callable[[], float]

    def pause(self, attempt: int, error: KuzuAPIError) -> float:
        """Seconds before the attempt after the `attempt`-th, which counts from 1."""
        jittered = self.random() * self.delay * self.backoff ** (attempt - 1)
        return max(jittered, error.retry_after or 0.0)


def attempts(
    replay: Replay, policy: RetryPolicy, breaker: Breaker, *, now: float, deadline: float
) -> Generator[Step, Outcome, None]:
    """`replay`: NEVER for a write without a key, also where KEYED was wished and the node does not have the feature.

    A generator that is closed before its end gives the breaker back what it has taken.
    """
    attempt = 0
    last: KuzuAPIError | None = None
    while True:
        attempt += 1
        admission = breaker.admit(now)
        if admission is None:
            raise last or _refused(breaker, now)
        began = now
        error, may_repeat, now = yield from _once(admission, breaker, replay, Send(attempt, deadline - now))
        if error is None:
            return
        if last is not None:
            _remember(last, error)
        last = error
        pause = policy.pause(attempt, error)
        # A statement that has used up its time limit will do so again.
        needed = pause + (now - began if error.status_code == TIMED_OUT else 0.0)
        if not may_repeat or attempt > policy.retries or now + needed >= deadline:
            raise error
        outcome = yield Wait(attempt, pause, error)
        now = outcome.now


def _refused(breaker: Breaker, now: float) -> ServiceUnavailableError:
    left = breaker.seconds_left(now)
    detail = f"too many calls have failed in a row; the next is tried in {left:.1f} s"
    return ServiceUnavailableError(detail, committed=False, retry_after=left)


def _remember(earlier: KuzuAPIError, error: KuzuAPIError) -> None:
    """That this attempt came to nothing does not tell what became of the one before it.

    Where the node has looked at the statement it knows: it has compared the key of the earlier attempt.
    """
    unlooked = error.status_code is None or error.status_code in RETRIED
    if error.committed is False and unlooked:
        error.committed = earlier.committed


def _once(
    admission: Admission, breaker: Breaker, replay: Replay, send: Send
) -> Generator[Step, Outcome, tuple[KuzuAPIError | None, bool, float]]:
    """What went wrong, whether it may be repeated, and when it was known."""
    settled = False
    try:
        outcome = yield send
        settled = True
    finally:
        if not settled:
            breaker.abandoned(admission)
    if isinstance(outcome, Lost):
        if outcome.blame:
            breaker.failed(admission, outcome.now)
        else:
            breaker.abandoned(admission)
        return outcome.error, _may_repeat_lost(outcome, replay), outcome.now
    assert isinstance(outcome, Answered)
    error = outcome.error
    if error is not None and error.status_code in FAILURES and error.code not in OF_ONE_DATABASE:
        breaker.failed(admission, outcome.now)
    else:
        breaker.succeeded(admission)
    return error, error is not None and _may_repeat(error, replay), outcome.now


def _may_repeat_lost(lost: Lost, replay: Replay) -> bool:
    return replay is not Replay.ONCE and (not lost.sent or replay is not Replay.NEVER)


def _may_repeat(error: KuzuAPIError, replay: Replay) -> bool:
    if replay is Replay.ONCE:
        return False
    if error.status_code in RETRIED and (error.committed is False or error.status_code == 429):
        return True
    return replay is not Replay.NEVER and (error.status_code in RETRIED or error.status_code == TIMED_OUT)
