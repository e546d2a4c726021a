from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kuzu_client._core.breaker import Admission, Breaker, BreakerState

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
ALLOWED = {(CLOSED, OPEN), (OPEN, HALF_OPEN), (HALF_OPEN, CLOSED), (HALF_OPEN, OPEN)}


def opened(threshold: int = 1, seconds: float = 10.0) -> Breaker:
    """At time 0."""
    breaker = Breaker(threshold, seconds)
    for _ in range(threshold):
        admission = breaker.admit(0.0)
        assert admission is not None
        breaker.failed(admission, 0.0)
    assert breaker.state is OPEN
    return breaker


def probe_of(breaker: Breaker, now: float) -> Admission:
    admission = breaker.admit(now)
    assert admission is not None
    assert admission.probe
    return admission


def test_only_failures_in_a_row_open_it() -> None:
    breaker = Breaker(3, 10.0)
    for outcome in (False, False, True, False, False):
        admission = breaker.admit(0.0)
        assert admission is not None
        if outcome:
            breaker.succeeded(admission)
        else:
            breaker.failed(admission, 0.0)
    assert breaker.state is CLOSED


def test_open_it_lets_nothing_through_until_its_time() -> None:
    breaker = opened()
    assert breaker.admit(9.9) is None
    assert breaker.seconds_left(4.0) == 6.0
    assert breaker.admit(10.0) == Admission(probe=True)


def test_half_open_it_lets_a_single_probe_through() -> None:
    breaker = opened()
    probe_of(breaker, 10.0)
    assert breaker.state is HALF_OPEN
    assert [breaker.admit(now) for now in (10.0, 11.0, 1000.0)] == [None] * 3


def test_a_good_probe_closes_it_and_failures_count_from_nothing() -> None:
    breaker = opened(threshold=2)
    breaker.succeeded(probe_of(breaker, 10.0))
    assert (breaker.state, breaker.failures) == (CLOSED, 0)


def test_a_failed_probe_opens_it_for_as_long_again() -> None:
    breaker = opened(threshold=3)
    breaker.failed(probe_of(breaker, 10.0), 12.0)
    assert breaker.admit(21.9) is None
    probe_of(breaker, 22.0)


def test_a_cancelled_probe_lets_the_next_call_probe() -> None:
    breaker = opened()
    breaker.abandoned(probe_of(breaker, 10.0))
    probe_of(breaker, 10.0)


def test_what_was_under_way_when_it_opened_says_nothing_new() -> None:
    breaker = Breaker(1, 10.0)
    first, second, third = (breaker.admit(0.0) for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    breaker.failed(first, 0.0)
    breaker.failed(second, 5.0)
    assert breaker.seconds_left(5.0) == 5.0
    breaker.succeeded(third)
    assert breaker.state is OPEN


def test_without_a_threshold_it_never_opens() -> None:
    breaker = Breaker(0, 10.0)
    for _ in range(100):
        admission = breaker.admit(0.0)
        assert admission is not None
        breaker.failed(admission, 0.0)
    assert breaker.state is CLOSED


class AnyOrder(RuleBasedStateMachine):
    """Whatever the order of calls and outcomes, there is one probe at most, and each open breaker is tried in time."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[tuple[BreakerState, BreakerState]] = []
        self.breaker = Breaker(2, 10.0, lambda before, after: self.changes.append((before, after)))
        self.held: list[Admission] = []
        self.now = 0.0

    @rule()
    def call(self) -> None:
        was = self.breaker.state
        admission = self.breaker.admit(self.now)
        assert (admission is not None) or was is not CLOSED
        if admission is not None:
            self.held.append(admission)

    @rule(seconds=st.integers(0, 15))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds

    @precondition(lambda self: self.held)
    @rule(data=st.data(), outcome=st.sampled_from(["succeeded", "failed", "abandoned"]))
    def end(self, data: st.DataObject, outcome: str) -> None:
        admission = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        if outcome == "failed":
            self.breaker.failed(admission, self.now)
        elif outcome == "succeeded":
            self.breaker.succeeded(admission)
        else:
            self.breaker.abandoned(admission)

    @invariant()
    def one_probe(self) -> None:
        probes = sum(admission.probe for admission in self.held)
        assert probes == (self.breaker.state is HALF_OPEN)

    @invariant()
    def known_changes(self) -> None:
        assert set(self.changes) <= ALLOWED

    @invariant()
    def never_stuck(self) -> None:
        if self.breaker.state is OPEN:
            assert self.breaker.seconds_left(self.now) <= 10.0


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
