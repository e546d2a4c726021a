from __future__ import annotations

from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from kuzu_node.engine.values import Query, Transaction
from tests.http.exchange import WITH_KEY, call, served

pytestmark = pytest.mark.trio
PATH = "/databases/g1/query"
TRACE = b"0af7651916cd43dd8448eb211c80319c"


async def long_work(_: Query | Transaction | None = None) -> None:
    with trio.move_on_after(2):
        await trio.sleep_forever()


async def test_a_request_is_logged_with_its_database_and_trace_and_without_its_text() -> None:
    with capture_logs() as logs:
        async with served() as (app, _):
            parent = (b"traceparent", b"00-" + TRACE + b"-b7ad6b7169203331-01")
            headers = (*WITH_KEY, parent, (b"x-request-id", b"r-1"))
            await call(app, "POST", PATH, {"cypher": "RETURN 'secret'"}, headers=headers)
    (line,) = logs
    assert line.pop("duration_ms") >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "POST",
        "route": "/databases/{graph_id}/query",
        "status": 200,
        "request_id": "r-1",
        "database": "g1",
        "trace_id": TRACE.decode(),
    }


@pytest.mark.parametrize("given", [b"", b"00-" + TRACE, b"00-" + TRACE.upper() + b"-b7ad6b7169203331-01"])
async def test_a_name_or_trace_that_is_none_is_not_logged(given: bytes) -> None:
    with capture_logs() as logs:
        async with served() as (app, _):
            await call(app, "GET", "/databases/a%0Ab", headers=(*WITH_KEY, (b"traceparent", given)))
    assert not {"database", "trace_id"} & logs[0].keys()


@pytest.mark.parametrize("asked", [None, 1.5])
async def test_a_slow_query_is_logged_whether_it_ends_or_not(asked: float | None, autojump_clock: Any) -> None:
    with capture_logs() as logs:
        async with served() as (app, node):
            node.g1.run = long_work
            await call(app, "POST", PATH, {"cypher": "RETURN 1", "timeout": asked})
            await call(app, "POST", "/databases/g1/transaction", {"statements": [{"cypher": "RETURN 1"}]})
    slow = [(line["route"], line["database"], line["work_ms"]) for line in logs if line["event"] == "slow_query"]
    assert slow == [
        ("/databases/{graph_id}/query", "g1", pytest.approx(1000 * (asked or 2), abs=1)),
        ("/databases/{graph_id}/transaction", "g1", pytest.approx(2000, abs=1)),
    ]


async def test_a_long_load_and_a_short_query_are_not_slow(autojump_clock: Any) -> None:
    with capture_logs() as logs:
        async with served() as (app, node):
            node.g1.run_load = long_work
            headers = (*WITH_KEY, (b"content-type", b"text/csv"))
            await call(app, "PUT", "/databases/g1/tables/t/rows", b"id\n1\n", headers=headers)
            await call(app, "POST", PATH, {"cypher": "RETURN 1"})
    assert [line["event"] for line in logs] == ["request", "request"]
