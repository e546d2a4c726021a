"""Idempotency keys: set where the node has the feature, so that a write whose outcome is unknown can be repeated."""

from __future__ import annotations

import re

import pytest

from kuzu_client._async.caller import AsyncCaller
from kuzu_client.errors import KuzuTransientError
from tests.client.calls import KEYED, QUICK, READ
from tests.client.scripted import Step, answers, breaks_off, problem, resets_after_reading, scripted

pytestmark = pytest.mark.anyio

HAS = answers({"features": ["tasks", "idempotency"]})
HAS_NOT = answers({"features": ["tasks"]})


async def test_a_lost_write_is_repeated_with_the_key_of_the_first_attempt() -> None:
    with scripted(HAS, resets_after_reading, answers({"done": 1})) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            assert await caller.call(KEYED) == {"done": 1}
    info, *writes = server.received
    assert info.target == "/info"
    keys = {write.headers["idempotency-key"] for write in writes}
    assert len(writes) == 2
    assert len(keys) == 1
    assert re.fullmatch(r"[0-9a-f]{32}", keys.pop())


async def test_each_write_has_a_key_of_its_own_and_the_node_is_asked_once() -> None:
    with scripted(HAS) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            for _ in range(3):
                await caller.call(KEYED)
    assert [request.target for request in server.received] == ["/info", "/write", "/write", "/write"]
    assert len({request.headers.get("idempotency-key") for request in server.received}) == 4


async def test_clients_that_only_read_do_not_ask() -> None:
    with scripted() as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            await caller.call(READ)
    assert [request.target for request in server.received] == ["/read"]


@pytest.mark.parametrize(
    "info",
    [
        pytest.param(HAS_NOT, id="without-the-feature"),
        pytest.param(answers([1]), id="another-shape"),
        pytest.param(problem(401, "invalid_key"), id="another-key"),
        pytest.param(problem(404, "unknown_route"), id="no-info"),
        pytest.param(problem(500, "internal"), id="broken"),
        pytest.param(problem(503, "draining"), id="draining"),
        pytest.param(breaks_off(b""), id="lost"),
    ],
)
async def test_nodes_that_cannot_tell_get_no_key_and_no_repetition(info: Step) -> None:
    with scripted(info, resets_after_reading) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            with pytest.raises(KuzuTransientError) as caught:
                await caller.call(KEYED)
            assert caught.value.committed is None
            await caller.call(KEYED)
    assert [request.target for request in server.received] == ["/info", "/write", "/write"]
    assert all("idempotency-key" not in request.headers for request in server.received)


async def test_after_a_failure_the_node_is_asked_anew_since_it_may_be_another() -> None:
    with scripted(HAS, *[resets_after_reading] * 4, HAS_NOT) as server:
        async with AsyncCaller(server.url, **QUICK) as caller:
            with pytest.raises(KuzuTransientError):
                await caller.call(KEYED)
            await caller.call(KEYED)
    assert [request.target for request in server.received] == ["/info", *["/write"] * 4, "/info", "/write"]
    assert "idempotency-key" not in server.received[-1].headers


async def test_without_retries_there_is_no_use_for_keys() -> None:
    with scripted() as server:
        async with AsyncCaller(server.url, **QUICK, retries_enabled=False) as caller:
            await caller.call(KEYED)
    assert [request.target for request in server.received] == ["/write"]
