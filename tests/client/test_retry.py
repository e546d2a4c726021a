"""The policy of retries, in virtual time: no clock, no socket."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuzu_client._core.breaker import Breaker, BreakerState
from kuzu_client._core.calls import Replay
from kuzu_client._core.retry import Answered, Lost, Outcome, RetryPolicy, Send, Wait, Waited, attempts
from kuzu_client.errors import (
    KuzuAPIError,
    KuzuServerError,
    KuzuTimeoutError,
    KuzuTransientError,
    ServiceUnavailableError,
)

SAFE, NEVER = Replay.SAFE, Replay.NEVER
Reply = Callable[[float], Answered | Lost]


def answered(status: int = 200, *, committed: bool | None = None, code: str = "", after: float | None = None) -> Reply:
    kind = KuzuTransientError if status in (502, 503, 504) else KuzuServerError if status >= 500 else KuzuAPIError
    error = kind("said", status_code=status, committed=committed, code=code, retry_after=after)
    return lambda now: Answered(now, None if status == 200 else error)


def lost(*, sent: bool, late: bool = False, blame: bool = True) -> Reply:
    error = (KuzuTimeoutError if late else KuzuTransientError)("lost", committed=None if sent else False)
    return lambda now: Lost(now, error, sent=sent, blame=blame)


@attrs.define(eq=False)
class Run:
    """Drives one call through virtual time, in which an attempt takes a second. The last reply is repeated."""

    replies: Iterable[Reply]
    replay: Replay = SAFE
    retries: int = 3
    random: Callable[[], float] = lambda: 1.0
    breaker: Breaker = attrs.field(factory=lambda: Breaker(5, 60.0))
    deadline: float = 1000.0
    now: float = 0.0
    sent: int = 0
    waited: list[float] = attrs.field(factory=list)
    left: list[float] = attrs.field(factory=list)

    def __call__(self) -> KuzuAPIError | None:
        policy = RetryPolicy(retries=self.retries, delay=1.0, backoff=2.0, random=self.random)
        steps = attempts(self.replay, policy, self.breaker, now=self.now, deadline=self.deadline)
        replies = list(self.replies)
        outcome: Outcome | None = None
        try:
            while True:
                step = next(steps) if outcome is None else steps.send(outcome)
                outcome = self._done(step, replies)
        except StopIteration:
            return None
        except KuzuAPIError as error:
            return error

    def _done(self, step: Send | Wait, replies: list[Reply]) -> Outcome:
        if isinstance(step, Wait):
            self.waited.append(step.seconds)
            self.now += step.seconds
            return Waited(self.now)
        self.sent += 1
        assert step.attempt == self.sent
        self.left.append(step.seconds)
        self.now += 1.0
        return (replies.pop(0) if len(replies) > 1 else replies[0])(self.now)


@pytest.mark.parametrize(
    ("reply", "read", "write"),
    [
        (answered(), 1, 1),
        (answered(400), 1, 1),
        (answered(404), 1, 1),
        (answered(409, committed=False), 1, 1),
        (answered(429), 4, 4),
        (answered(500), 1, 1),
        (answered(507, committed=False), 1, 1),
        (answered(502, committed=False), 4, 4),
        (answered(503, committed=False), 4, 4),
        (answered(504, committed=False), 4, 4),
        (answered(502), 4, 1),
        (answered(503), 4, 1),
        (answered(504), 4, 1),
        (answered(503, committed=True), 4, 1),
        (answered(408), 4, 1),
        (answered(408, committed=False), 4, 1),
        (lost(sent=False), 4, 4),
        (lost(sent=True), 4, 1),
        (lost(sent=False, late=True), 4, 4),
        (lost(sent=True, late=True), 4, 1),
    ],
)
def test_what_is_sent_how_often(reply: Reply, read: int, write: int) -> None:
    counts = []
    for replay in (SAFE, NEVER):
        run = Run([reply], replay)
        run()
        counts.append(run.sent)
    assert counts == [read, write]


def test_delays_grow_and_a_random_part_of_them_is_waited() -> None:
    full, half = Run([lost(sent=False)]), Run([lost(sent=False)], random=lambda: 0.5)
    full()
    half()
    assert full.waited == [1.0, 2.0, 4.0]
    assert half.waited == [0.5, 1.0, 2.0]


def test_a_node_that_names_a_time_gets_it() -> None:
    run = Run([answered(503, committed=False, after=7.0), answered(503, committed=False, after=0.0), answered()])
    assert run() is None
    assert run.waited == [7.0, 2.0]


def test_a_good_answer_ends_it() -> None:
    run = Run([lost(sent=True), answered(503), answered()])
    assert run() is None
    assert run.sent == 3


def test_no_attempt_begins_behind_the_deadline_and_each_knows_what_is_left() -> None:
    run = Run([lost(sent=False)], deadline=4.5)
    assert isinstance(run(), KuzuTransientError)
    assert run.left == [4.5, 2.5]
    assert run.now < 4.5


@given(
    st.lists(
        st.sampled_from([answered(503, committed=False, after=3.0), lost(sent=True), lost(sent=False), answered(429)]),
        min_size=1,
    ),
    st.floats(0.1, 50),
    st.integers(0, 6),
    st.floats(0, 1, exclude_max=True),
)
def test_waits_never_reach_the_deadline(replies: list[Reply], deadline: float, retries: int, part: float) -> None:
    run = Run(replies, deadline=deadline, retries=retries, random=lambda: part, breaker=Breaker(0, 1.0))
    assert run() is not None
    assert all(left > 0 for left in run.left)
    assert run.sent <= retries + 1


def test_a_closed_generator_gives_back_its_probe() -> None:
    breaker = Breaker(1, 10.0)
    Run([lost(sent=True)], NEVER, breaker=breaker)()
    policy = RetryPolicy(retries=0, delay=0.0, backoff=1.0, random=lambda: 0.0)
    probe = attempts(SAFE, policy, breaker, now=20.0, deadline=30.0)
    next(probe)
    assert breaker.admit(20.0) is None
    probe.close()
    assert Run([answered()], breaker=breaker, now=20.0)() is None
    assert breaker.state is BreakerState.CLOSED


def test_what_the_client_itself_lacks_is_not_the_nodes_fault() -> None:
    breaker = Breaker(1, 10.0)
    assert isinstance(Run([lost(sent=False, late=True, blame=False)], breaker=breaker)(), KuzuTimeoutError)
    assert breaker.state is BreakerState.CLOSED


def test_an_open_breaker_raises_without_sending() -> None:
    breaker = Breaker(1, 10.0)
    Run([lost(sent=True)], NEVER, breaker=breaker)()
    run = Run([answered()], breaker=breaker, now=4.0)
    error = run()
    assert isinstance(error, ServiceUnavailableError)
    assert (error.committed, error.retry_after, run.sent) == (False, 7.0, 0)


def test_a_breaker_that_opens_meanwhile_does_not_hide_what_has_happened() -> None:
    """The call has been sent once, so it is not certain that nothing was committed."""
    run = Run([lost(sent=True)], breaker=Breaker(1, 60.0))
    error = run()
    assert isinstance(error, KuzuTransientError)
    assert not isinstance(error, ServiceUnavailableError)
    assert (error.committed, run.sent) == (None, 1)


@pytest.mark.parametrize(
    ("second", "committed"),
    [
        (lost(sent=False), None),
        (answered(503, committed=False), None),
        (answered(429, committed=False), None),
        (answered(409, committed=False), False),
        (answered(503, committed=True), True),
    ],
)
def test_an_unknown_outcome_stays_unknown_until_the_node_says(second: Reply, committed: bool | None) -> None:
    error = Run([lost(sent=False), second], retries=1)()
    assert error is not None
    assert error.committed is (committed or False)
    error = Run([lost(sent=True), second], retries=1)()
    assert error is not None
    assert error.committed is committed


def test_a_statement_that_has_used_up_its_time_is_repeated_if_there_is_as_much_left() -> None:
    """An attempt takes a second here, and so do the waits."""
    for deadline, sent in ((2.5, 1), (3.5, 2), (4.9, 2)):
        run = Run([answered(408, committed=False)], deadline=deadline)
        error = run()
        assert error is not None
        assert (error.status_code, run.sent) == (408, sent)


@pytest.mark.parametrize(
    ("reply", "opens"),
    [
        (answered(500), True),
        (answered(502), True),
        (answered(503, code="draining"), True),
        (answered(504), True),
        (lost(sent=True), True),
        (lost(sent=False), True),
        (answered(400), False),
        (answered(408), False),
        (answered(429), False),
        (answered(507), False),
        (answered(503, code="database_failed"), False),
        (answered(503, code="pool_exhausted"), False),
    ],
)
def test_what_counts_against_the_breaker(reply: Reply, opens: bool) -> None:
    breaker = Breaker(3, 60.0)
    for _ in range(3):
        Run([reply], NEVER, retries=0, breaker=breaker)()
    assert (breaker.state is BreakerState.OPEN) is opens


def test_clients_of_a_dead_node_probe_one_at_a_time() -> None:
    """Fifty calls a tick in virtual time: closed, they learn; open, one goes out a period; half-open, no second."""
    breaker, sent, refused = Breaker(5, 10.0), [], 0
    policy = RetryPolicy(retries=0, delay=0.0, backoff=1.0, random=lambda: 0.0)
    for tick in range(40):
        under_way = []
        for _ in range(50):
            call = attempts(SAFE, policy, breaker, now=float(tick), deadline=1000.0)
            try:
                next(call)
            except ServiceUnavailableError:
                refused += 1
                continue
            sent.append(tick)
            under_way.append(call)
        error = KuzuTransientError("lost", committed=None)
        for call in under_way:
            with pytest.raises(KuzuTransientError):
                call.send(Lost(tick + 0.5, error, sent=True))
    assert sent == [0] * 50 + [11, 22, 33]
    assert refused == 40 * 50 - len(sent)
