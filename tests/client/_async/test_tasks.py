"""Tasks, on a server that says what a script says: events that come, break off, or are not to be had."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kuzu_client._async.client import AsyncKuzuClient
from kuzu_client.errors import KuzuAPIError, KuzuClientError, KuzuTimeoutError, KuzuTransientError
from tests.client.calls import QUICK, SOON
from tests.client.scripted import (
    ScriptedServer,
    Step,
    answers,
    breaks_off,
    chunked,
    head,
    problem,
    resets_after_reading,
    says,
    scripted,
    stalls,
)

pytestmark = pytest.mark.anyio

END = b"0\r\n\r\n"
HEAD = head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
STARTED = {"task_id": "t1", "status": "started", "sse_url": "/tasks/t1/monitor", "message": "m"}
DONE: dict[str, Any] = {
    "task_id": "t1",
    "status": "completed",
    "result": {"records_loaded": 7},
    "duration_seconds": 2.5,
}


def event(name: str, number: int, **data: Any) -> bytes:
    return f"id: {number}\nevent: {name}\ndata: {json.dumps({'task_id': 't1', **data})}\n\n".encode()


def events(*found: bytes) -> Step:
    return says(HEAD + chunked(found) + END)


def cut(*found: bytes) -> Step:
    return breaks_off(HEAD + chunked(found))


def state(status: str, **more: Any) -> Step:
    return answers({"task_id": "t1", "status": status, "progress_percent": 50, "error": None, "result": {}, **more})


def asked(server: ScriptedServer) -> list[str]:
    return [f"{request.method} {request.target}" for request in server.received]


COPY, MONITOR, STATUS = "POST /databases/g/copy", "GET /tasks/t1/monitor", "GET /tasks/t1/status"


async def test_events_come_up_to_the_last_one() -> None:
    steps = events(event("connected", 1), event("progress", 2, progress_percent=40), event("completed", 3, **DONE))
    with scripted(steps) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client, client.monitor_task("t1") as found:
            heard = [entry async for entry in found]
    assert [entry.event for entry in heard] == ["connected", "progress", "completed"]
    assert (heard[1].progress_percent, heard[2].result) == (40, {"records_loaded": 7})
    assert server.received[0].headers["accept"] == "text/event-stream"


async def test_a_load_that_is_waited_for_tells_how_it_went() -> None:
    with scripted(answers(STARTED, 202), events(event("completed", 1, **DONE))) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            outcome = await client.ingest_with_sse("g", "P", "s3://b/*.parquet", {"region": "r"})
    assert outcome == {
        "status": "completed",
        "task_id": "t1",
        "records_loaded": 7,
        "duration_seconds": 2.5,
        "result": {"records_loaded": 7},
    }
    assert asked(server) == [COPY, MONITOR]
    assert server.received[0].json() == {
        "s3_pattern": "s3://b/*.parquet",
        "table_name": "P",
        "ignore_errors": True,
        "s3_credentials": {"region": "r"},
    }


async def test_a_load_that_failed_does_not_raise() -> None:
    failed = event("failed", 1, status="failed", error="no such object")
    with scripted(answers(STARTED, 202), events(failed)) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            outcome = await client.ingest_with_sse("g", "P", "s3://b/x")
    assert (outcome.status, outcome.error, outcome.records_loaded) == ("failed", "no such object", 0)


async def test_a_load_that_cannot_be_started_raises() -> None:
    with scripted(problem(404, "unknown_database")) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            with pytest.raises(KuzuClientError):
                await client.ingest_with_sse("g", "P", "s3://b/x")


async def test_a_stream_that_breaks_is_resumed_behind_its_last_event() -> None:
    with scripted(
        cut(event("connected", 1), event("progress", 2)),
        state("running"),
        events(event("progress", 3), event("completed", 4, **DONE)),
    ) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            heard = [entry.id async for entry in client.monitor_task("t1")]
    assert heard == ["1", "2", "3", "4"]
    assert asked(server) == [MONITOR, STATUS, MONITOR]
    assert server.received[2].headers["last-event-id"] == "2"


async def test_a_task_that_ended_unheard_is_asked_for() -> None:
    with scripted(cut(event("connected", 1)), state("completed", result={"records_loaded": 3})) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            heard = [entry async for entry in client.monitor_task("t1")]
    assert [entry.event for entry in heard] == ["connected", "completed"]
    assert heard[-1].result.records_loaded == 3


@pytest.mark.parametrize(
    "refusal",
    [
        problem(404, "unknown_route"),
        problem(406, "not_acceptable"),
        problem(501, "internal"),
        answers({"no": "events"}),
    ],
)
async def test_where_no_events_are_to_be_had_the_state_is_asked_for(refusal: Step) -> None:
    with scripted(refusal, state("running"), state("completed")) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            heard = [entry.event async for entry in client.monitor_task("t1")]
    assert heard[-1] == "completed"
    assert asked(server) == [MONITOR, STATUS, STATUS]


async def test_a_way_that_lets_no_events_through_is_given_up() -> None:
    nothing = says(HEAD + END)
    steps = [step for _ in range(3) for step in (nothing, state("running"))]
    with scripted(*steps, state("failed", error="e")) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            heard = [entry.event async for entry in client.monitor_task("t1")]
    assert heard == ["failed"]
    assert asked(server) == [MONITOR, STATUS] * 3 + [STATUS]


async def test_a_node_that_restarts_is_waited_for() -> None:
    with scripted(
        cut(event("connected", 1)),
        resets_after_reading,
        problem(503, "draining", {"Retry-After": "0"}),
        resets_after_reading,
        events(event("completed", 2, **DONE)),
    ) as server:
        async with AsyncKuzuClient(server.url, **QUICK, max_retries=0) as client:
            heard = [entry.event async for entry in client.monitor_task("t1")]
    assert heard == ["connected", "completed"]
    assert asked(server) == [MONITOR, STATUS, MONITOR, STATUS, MONITOR]


async def test_a_task_that_nobody_knows_is_an_error() -> None:
    with scripted(otherwise=problem(404, "unknown_task")) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            with pytest.raises(KuzuClientError) as caught:
                await client.wait_for_task("t1")
    assert caught.value.code == "unknown_task"
    assert asked(server) == [MONITOR]


async def test_waiting_has_an_end_though_the_task_has_none() -> None:
    with scripted(otherwise=stalls(HEAD + chunked([event("connected", 1)]))) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            with pytest.raises(KuzuTimeoutError, match="has not ended"):
                await client.wait_for_task("t1", timeout=SOON)
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            server.then(answers(STARTED, 202))
            outcome = await client.ingest_with_sse("g", "P", "s3://b/x", timeout=SOON)
    assert outcome.status == "failed"
    assert "may still go on" in outcome.error


async def test_a_task_that_has_ended_is_told_with_its_state() -> None:
    with scripted(events(event("failed", 1, status="cancelled")), state("cancelled")) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            assert (await client.wait_for_task("t1")).status == "cancelled"
    assert asked(server) == [MONITOR, STATUS]


async def test_who_leaves_before_the_end_closes_the_connection() -> None:
    with scripted(stalls(HEAD + chunked([event("connected", 1)])), answers([])) as server:
        async with AsyncKuzuClient(server.url, **QUICK, max_connections=1) as client:
            async with client.monitor_task("t1") as found:
                assert (await found.__anext__()).event == "connected"
            assert [entry async for entry in found] == []
            assert await client.list_tasks() == []


async def test_tasks_are_listed_cancelled_and_counted() -> None:
    with scripted(
        answers([{"task_id": "t2"}, {"task_id": "t1"}]), answers({"status": "cancelled"}), answers({"queue_depth": 4})
    ) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            assert [task.task_id for task in await client.list_tasks("running", 10)] == ["t2", "t1"]
            assert (await client.cancel_task("t1")).status == "cancelled"
            assert (await client.get_queue_info()).queue_depth == 4
            server.then(problem(409, "task_ended"))
            with pytest.raises(KuzuAPIError) as caught:
                await client.cancel_task("t1")
    assert caught.value.code == "task_ended"
    assert asked(server) == [
        "GET /tasks?status=running&limit=10",
        "DELETE /tasks/t1",
        "GET /tasks/queue/info",
        "DELETE /tasks/t1",
    ]


async def test_a_started_load_is_never_started_twice() -> None:
    with scripted(resets_after_reading, answers(STARTED, 202)) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            with pytest.raises(KuzuTransientError) as caught:
                await client.copy_from_s3("g", "s3://b/x", "P")
    assert caught.value.committed is None
    assert asked(server) == [COPY]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"file_path": "a/b.parquet"}, {"mode": "sync", "file_path": "a/b.parquet", "ignore_errors": True}),
        (
            {"files": ["a"], "bucket": "b", "mode": "async", "table_name": "P", "pipeline_run_id": "r"},
            {
                "mode": "async",
                "bucket": "b",
                "files": ["a"],
                "table_name": "P",
                "pipeline_run_id": "r",
                "priority": 5,
                "ignore_errors": True,
            },
        ),
    ],
)
async def test_ingest_sends_what_belongs_to_its_mode(given: dict[str, Any], sent: dict[str, Any]) -> None:
    with scripted(answers({"status": "completed", "rows_inserted": 1, "task_id": "t1"})) as server:
        async with AsyncKuzuClient(server.url, **QUICK) as client:
            assert (await client.ingest("g", **given)).status == "completed"
    assert server.received[0].json() == sent
