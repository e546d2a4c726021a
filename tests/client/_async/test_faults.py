"""What a call makes of a way that is broken, over real sockets."""

from __future__ import annotations

import attrs
import pytest

from kuzu_client._async.caller import AsyncCaller
from kuzu_client._core.calls import Call
from kuzu_client.errors import (
    KuzuAPIError,
    KuzuClientError,
    KuzuServerError,
    KuzuSyntaxError,
    KuzuTimeoutError,
    KuzuTransientError,
    ServiceUnavailableError,
)
from tests.client.calls import QUICK, READ, SOON, WRITE, Events
from tests.client.scripted import (
    Step,
    answer,
    answers,
    breaks_off,
    chunked,
    drips,
    head,
    problem,
    refusing,
    resets_after_reading,
    resets_unread,
    says,
    scripted,
    stalls,
)

pytestmark = pytest.mark.anyio

CHUNKED = head(200, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
HALF_CHUNKED = CHUNKED + chunked([b'{"ok"'])
HALF = head(200, {"Content-Type": "application/json", "Content-Length": "100"}) + b'{"ok"'
LOST = [
    pytest.param(resets_unread, id="reset-unread"),
    pytest.param(resets_after_reading, id="reset-read"),
    pytest.param(breaks_off(b""), id="closed-without-answer"),
    pytest.param(breaks_off(b"HTTP/1.1 200"), id="half-a-head"),
    pytest.param(breaks_off(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), id="no-http"),
    pytest.param(breaks_off(HALF), id="half-a-body"),
    pytest.param(breaks_off(HALF_CHUNKED), id="half-a-chunked-body"),
    pytest.param(breaks_off(HALF_CHUNKED, reset=True), id="reset-within-the-body"),
    pytest.param(breaks_off(CHUNKED + b"zz\r\n"), id="broken-chunk"),
]


@pytest.mark.parametrize("call", [READ, WRITE], ids=["read", "write"])
async def test_refused_connections_are_tried_again_and_nothing_is_committed(call: Call) -> None:
    events = Events()
    with refusing() as url:
        async with AsyncCaller(url, observers=[events], **QUICK) as caller:
            with pytest.raises(KuzuTransientError, match="could not connect") as caught:
                await caller.call(call)
    assert caught.value.committed is False
    assert len(events.attempts) == 4
    assert len(events.waits) == 3
    assert [attempt.reused for attempt in events.attempts] == [None] * 4


@pytest.mark.parametrize("step", LOST)
async def test_a_lost_read_is_asked_again(step: Step) -> None:
    with scripted(step, step) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            assert await caller.call(READ) == {"ok": True}
    assert server.connections == 3


@pytest.mark.parametrize("step", LOST)
async def test_a_lost_write_is_raised_as_unknown(step: Step) -> None:
    events = Events()
    with scripted(step) as server:
        async with AsyncCaller(server.url, observers=[events], **QUICK) as caller:
            with pytest.raises(KuzuTransientError) as caught:
                await caller.call(WRITE)
            assert caught.value.committed is None
            assert len(events.attempts) == 1
            assert await caller.call(WRITE) == {"ok": True}


@pytest.mark.parametrize("data", [b"", HALF, HALF_CHUNKED], ids=["head", "body", "chunk"])
async def test_a_stalled_answer_ends_with_the_deadline(data: bytes) -> None:
    with scripted(stalls(data)) as server:
        async with AsyncCaller(server.url, **{**QUICK, "timeout": SOON}) as caller:
            with pytest.raises(KuzuTimeoutError) as caught:
                await caller.call(WRITE)
            assert caught.value.committed is None
            assert await caller.call(attrs.evolve(READ, timeout=20.0)) == {"ok": True}


@pytest.mark.parametrize("data", [CHUNKED, CHUNKED + chunked([b" "] * 1000)], ids=["head", "body"])
async def test_a_dripping_answer_ends_with_the_deadline(data: bytes) -> None:
    """Each read succeeds in time; all of them together do not."""
    with scripted(drips(data, 0.02)) as server:
        async with AsyncCaller(server.url, **{**QUICK, "timeout": SOON}) as caller:
            with pytest.raises(KuzuTimeoutError):
                await caller.call(WRITE)


async def test_a_storm_of_503_is_waited_out() -> None:
    storm = [problem(503, "admission", {"Retry-After": "0"}, committed=False)] * 3
    events = Events()
    with scripted(*storm) as server:
        async with AsyncCaller(server.url, observers=[events], **QUICK) as caller:
            assert await caller.call(WRITE) == {"ok": True}
    assert [attempt.status for attempt in events.attempts] == [503, 503, 503, 200]
    assert [wait.error.code for wait in events.waits] == ["admission"] * 3
    assert server.connections == 1


async def test_a_storm_that_does_not_end_is_raised_with_its_code() -> None:
    with scripted(otherwise=problem(503, "queue_full", {"Retry-After": "0"}, committed=False)) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            with pytest.raises(KuzuTransientError, match="said queue_full") as caught:
                await caller.call(READ)
    assert (caught.value.code, caught.value.committed, caught.value.request_id) == ("queue_full", False, "r-1")
    assert len(server.received) == 4


async def test_a_retry_after_behind_the_deadline_is_not_waited_for() -> None:
    with scripted(problem(503, "draining", {"Retry-After": "30"}, committed=False)) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            with pytest.raises(KuzuTransientError) as caught:
                await caller.call(READ)
    assert caught.value.retry_after == 30.0
    assert len(server.received) == 1


async def test_a_write_is_not_repeated_unless_the_node_says_that_nothing_was_committed() -> None:
    with scripted(problem(503, "database_restarting", committed=None)) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            with pytest.raises(KuzuTransientError) as caught:
                await caller.call(WRITE)
    assert caught.value.committed is None
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (problem(400, "syntax", line=3, column=5, committed=False), KuzuSyntaxError),
        (problem(404, "unknown_database"), KuzuClientError),
        (problem(422, "invalid"), KuzuClientError),
        (problem(408, "query_timeout", committed=False), KuzuAPIError),
        (problem(409, "constraint", committed=False), KuzuAPIError),
        (problem(413, "too_large"), KuzuAPIError),
        (problem(500, "internal"), KuzuServerError),
        (problem(507, "node_full"), KuzuServerError),
    ],
)
async def test_refusals_of_a_write_are_raised_at_once(step: Step, kind: type[KuzuAPIError]) -> None:
    with scripted(step) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            with pytest.raises(KuzuAPIError) as caught:
                await caller.call(WRITE)
    assert type(caught.value) is kind
    assert len(server.received) == 1


async def test_a_page_instead_of_json_is_a_server_error() -> None:
    page = answer(200, b"<html>Please log in</html>", {"Content-Type": "text/html"})
    with scripted(says(page)) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            with pytest.raises(KuzuServerError, match=r"text/html instead of JSON: <html>Please log in"):
                await caller.call(READ)
    assert len(server.received) == 1


async def test_a_page_of_a_balancer_keeps_its_status() -> None:
    page = answer(502, b"<html>Bad gateway</html>", {"Content-Type": "text/html"})
    with scripted(says(page), says(page)) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            with pytest.raises(KuzuTransientError, match="HTTP 502: <html>Bad gateway") as caught:
                await caller.call(WRITE)
            assert caught.value.committed is None
            assert await caller.call(READ) == {"ok": True}


async def test_what_is_no_json_is_a_server_error() -> None:
    with scripted(says(answer(200, b'{"ok": tru', {"Content-Type": "application/json"}))) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            with pytest.raises(KuzuServerError, match="no JSON"):
                await caller.call(READ)


async def test_redirects_are_not_followed_so_the_key_stays_here() -> None:
    with scripted() as other, scripted(answers({}, 307, {"Location": other.url + "/read"})) as server:
        async with AsyncCaller(server.url, "secret", **QUICK) as caller:
            with pytest.raises(KuzuServerError, match="redirected to"):
                await caller.call(READ)
    assert server.received[0].headers["x-kuzu-api-key"] == "secret"
    assert other.connections == 0


async def test_without_an_endpoint_calls_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUZU_API_URL", raising=False)
    async with AsyncCaller(**QUICK) as caller:
        with pytest.raises(ServiceUnavailableError, match="KUZU_API_URL"):
            await caller.call(READ)
