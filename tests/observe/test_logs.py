from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator

import attrs
import pytest
import structlog

from kuzu_node.config import LogConfig, LogFormat
from kuzu_node.observe.logs import LineWriter, configure

JSON = LogConfig(level="INFO", format="json", slow_query_ms=1000)


@attrs.frozen
class Pipe:
    reader: int
    writer: int

    def lines(self) -> list[str]:
        try:
            return os.read(self.reader, 1 << 20).decode().splitlines()
        except BlockingIOError:
            return []


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe whose reading end never waits; the process's logging is as before afterwards."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield Pipe(reader, writer)
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    os.close(reader)
    os.close(writer)


def test_a_line_is_an_event_with_what_is_bound_around_it(pipe: Pipe) -> None:
    configure(JSON, descriptor=pipe.writer)
    log = structlog.get_logger()
    with structlog.contextvars.bound_contextvars(request_id="r1", database="flights"):
        log.warning("slow_query", duration_ms=1200)
    (line,) = map(json.loads, pipe.lines())
    assert line.pop("timestamp").endswith("Z")
    expected = {"event": "slow_query", "level": "warning", "request_id": "r1", "database": "flights"}
    assert line == {**expected, "duration_ms": 1200}


def test_a_level_below_the_configured_one_is_silent(pipe: Pipe) -> None:
    configure(JSON, descriptor=pipe.writer)
    structlog.get_logger().debug("detail")
    assert pipe.lines() == []


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_nothing_that_is_logged_makes_the_call_fail(pipe: Pipe, log_format: LogFormat) -> None:
    configure(attrs.evolve(JSON, format=log_format), descriptor=pipe.writer)
    structlog.get_logger().info("odd", surrogate="\udcff", key={(1, 2): object()}, lines="a\nb", raw=b"\xff")
    assert len(pipe.lines()) == 1


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_trace_shows_no_local_variables(pipe: Pipe, log_format: LogFormat) -> None:
    configure(attrs.evolve(JSON, format=log_format), descriptor=pipe.writer)
    query = "MATCH (secret" + ") RETURN 1"
    try:
        raise ZeroDivisionError(len(query))
    except ZeroDivisionError:
        structlog.get_logger().exception("statement_failed")
    text = "\n".join(pipe.lines())
    assert "ZeroDivisionError" in text
    assert "MATCH (secret)" not in text


def test_lines_of_libraries_arrive_as_events(pipe: Pipe) -> None:
    configure(JSON, descriptor=pipe.writer)
    logging.getLogger("library").error("broke %s", "here")
    logging.getLogger("library").info("chatter")
    (line,) = map(json.loads, pipe.lines())
    assert (line["event"], line["logger"], line["text"]) == ("library_message", "library", "broke here")


def test_a_reader_that_does_not_read_costs_lines_and_no_time(pipe: Pipe) -> None:
    writer = LineWriter(pipe.writer)
    line = b"x" * 1000
    for _ in range(1000):
        writer(line)
    dropped = writer.dropped
    assert dropped > 0
    assert len(pipe.lines()) == 1000 - dropped
    writer(line)
    count, last = pipe.lines()
    assert json.loads(count) == {"event": "log_lines_dropped", "level": "warning", "count": dropped}
    assert last == "x" * 1000
    assert writer.dropped == 0


def test_a_reader_that_is_gone_does_not_end_the_node() -> None:
    reader, descriptor = os.pipe()
    writer = LineWriter(descriptor)
    os.close(reader)
    writer(b"x")
    os.close(descriptor)
    writer(b"x")
    assert writer.dropped == 2
