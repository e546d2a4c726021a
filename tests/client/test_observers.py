from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuzu_client._core.breaker import BreakerState
from kuzu_client._core.observers import Attempted, BreakerChanged, Event, Observers, Waits
from kuzu_client.errors import KuzuTransientError
from kuzu_client.observers import BOUNDS, CountingObserver, LoggingObserver

ERROR = KuzuTransientError("MATCH (secret) RETURN 1", code="draining")
ATTEMPT = Attempted(
    operation="query", endpoint="http://n", attempt=2, seconds=0.25, status=503, error=ERROR, reused=True
)
WAIT = Waits(operation="query", endpoint="http://n", attempt=2, seconds=1.5, error=ERROR)
TRIP = BreakerChanged(endpoint="http://n", before=BreakerState.CLOSED, after=BreakerState.OPEN)
CLOSE = BreakerChanged(endpoint="http://n", before=BreakerState.HALF_OPEN, after=BreakerState.CLOSED)


@pytest.mark.parametrize(
    ("event", "level", "message"),
    [
        (
            ATTEMPT,
            logging.DEBUG,
            (
                "attempted operation=query endpoint=http://n attempt=2 status=503 seconds=0.25 reused=True "
                "error=KuzuTransientError code=draining"
            ),
        ),
        (
            WAIT,
            logging.INFO,
            "waits operation=query endpoint=http://n attempt=2 seconds=1.5 error=KuzuTransientError code=draining",
        ),
        (TRIP, logging.WARNING, "breaker_changed endpoint=http://n before=closed after=open"),
        (CLOSE, logging.INFO, "breaker_changed endpoint=http://n before=half_open after=closed"),
    ],
)
def test_events_are_logged_without_texts(
    event: Event, level: int, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "kuzu_client"):
        LoggingObserver()(event)
    assert caplog.record_tuples == [("kuzu_client", level, message)]
    assert "secret" not in str(vars(caplog.records[0]))


def test_nothing_counted_is_nothing() -> None:
    found = CountingObserver().statistics()
    assert (found.operations, found.retries, found.breaker_trips) == ({}, 0, 0)


def test_trips_waits_and_connections_are_counted() -> None:
    counting = CountingObserver()
    for event in (ATTEMPT, WAIT, WAIT, TRIP, CLOSE):
        counting(event)
    found = counting.statistics()
    assert (found.retries, found.breaker_trips, found.connections_opened, found.connections_reused) == (2, 1, 0, 1)


@given(st.lists(st.floats(0, 200), min_size=1, max_size=50), st.floats(0, 1))
def test_quantiles_are_upper_bounds(times: list[float], share: float) -> None:
    counting = CountingObserver()
    for seconds in times:
        counting(Attempted(operation="q", endpoint="", attempt=1, seconds=seconds))
    found = counting.statistics().operations["q"]
    bound = found.quantile(share)
    assert sum(seconds <= bound for seconds in times) >= share * len(times)
    assert bound <= max(times) == found.longest
    assert found.total == pytest.approx(sum(times))
    assert sum(found.histogram) == len(times)
    assert len(found.histogram) == len(BOUNDS) + 1


def test_an_observer_that_calls_again_hears_each_change_once() -> None:
    heard: list[Event] = []
    observers = Observers("http://n", (lambda event: observers.tell_changes(), heard.append))
    observers.breaker_changed(BreakerState.CLOSED, BreakerState.OPEN)
    observers.breaker_changed(BreakerState.OPEN, BreakerState.HALF_OPEN)
    observers.tell_changes()
    assert len(heard) == 2
