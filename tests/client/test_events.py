"""Server-sent events and what becomes of tasks."""

from __future__ import annotations

import pytest

from kuzu_client._core import outcomes
from kuzu_client._core.events import LONGEST, EventDecoder, ServerEvent, task_event
from kuzu_client.answers import TaskEvent
from kuzu_client.errors import KuzuServerError

TEXT = (
    b': a comment\r\nid: 1\r\nevent: progress\r\ndata: {"a": 1,\r\ndata: "b": "\xc3\xa4"}\r\n\r\n'
    b"retry: 2500\n\nevent: nothing\n\nid: 2\ndata:no space\n\ndata\n\nid: bad\0id\rdata:  two\r\r"
)
EVENTS = [
    ServerEvent("progress", '{"a": 1,\n"b": "ä"}', "1"),
    ServerEvent("message", "no space", "2"),
    ServerEvent("message", "", "2"),
    ServerEvent("message", " two", "2"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 5, len(TEXT)])
def test_events_are_the_same_however_the_stream_is_cut(size: int) -> None:
    decoder = EventDecoder()
    found = [event for at in range(0, len(TEXT), size) for event in decoder.feed(TEXT[at : at + size])]
    # A \r at the very end may be half of a line end: the next byte tells.
    found += decoder.feed(b"\n")
    assert found == EVENTS
    assert (decoder.last_id, decoder.retry) == ("2", 2.5)


def test_an_event_without_its_empty_line_is_none() -> None:
    assert list(EventDecoder().feed(b"event: completed\ndata: {}\n")) == []


def test_a_stream_goes_on_with_the_id_of_the_one_before() -> None:
    (event,) = EventDecoder("7").feed(b"data: {}\n\n")
    assert event.id == "7"


def test_a_line_without_an_end_is_an_error() -> None:
    decoder = EventDecoder()
    assert list(decoder.feed(b"x" * LONGEST)) == []
    with pytest.raises(KuzuServerError):
        list(decoder.feed(b"x"))


def test_events_of_tasks_say_their_kind() -> None:
    assert task_event(ServerEvent("progress", '{"task_id": "t"}', "3")) == {
        "event": "progress",
        "task_id": "t",
        "id": "3",
    }
    assert task_event(ServerEvent("message", "hello", "")) is None
    assert task_event(ServerEvent("message", "[]", "")) is None


@pytest.mark.parametrize(
    ("status", "event"),
    [("pending", "progress"), ("running", "progress"), ("completed", "completed"), ("failed", "failed"),
     ("cancelled", "failed")],
)  # fmt: skip
def test_a_state_stands_for_the_event_that_did_not_come(status: str, event: str) -> None:
    assert outcomes.from_status({"status": status}).event == event


def test_the_outcome_of_a_load() -> None:
    done = TaskEvent(event="completed", status="completed", result={"records_loaded": 5}, duration_seconds=1.5)
    assert outcomes.from_end("t", done, 9.0) == {
        "status": "completed",
        "task_id": "t",
        "records_loaded": 5,
        "duration_seconds": 1.5,
        "result": {"records_loaded": 5},
    }


def test_the_outcome_of_a_failed_load_has_an_error_and_a_time() -> None:
    outcome = outcomes.from_end("t", TaskEvent(event="failed", status="failed", error="no such file"), 2.0)
    assert (outcome.status, outcome.error, outcome.duration_seconds, outcome.records_loaded) == (
        "failed",
        "no such file",
        2.0,
        0,
    )
    cancelled = outcomes.from_end("t", TaskEvent(event="failed", status="cancelled", error=None), 2.0)
    assert (cancelled.status, cancelled.error) == ("failed", "the task has ended as cancelled")
