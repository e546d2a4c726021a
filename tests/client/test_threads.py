"""One sync client in many threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kuzu_client._sync.caller import Caller
from kuzu_client.errors import KuzuTransientError, ServiceUnavailableError
from kuzu_client.observers import CountingObserver
from tests.client.calls import KEYED, QUICK, READ, SOON
from tests.client.scripted import PATIENCE, Talk, answer, answers, problem, scripted, stalls


def test_calls_of_many_threads_share_client_and_counts() -> None:
    counting = CountingObserver()
    with (
        scripted() as server,
        Caller(server.url, observers=[counting], **QUICK) as caller,
        ThreadPoolExecutor(16) as pool,
    ):
        found = list(pool.map(lambda _: caller.call(READ), range(300)))
    assert found == [{"ok": True}] * 300
    counted = counting.statistics()
    assert counted.operations["read"].count == 300
    assert counted.connections_opened == server.connections <= 16
    assert counted.connections_opened + counted.connections_reused == 300


def test_many_threads_share_few_connections() -> None:
    counting = CountingObserver()
    with (
        scripted() as server,
        Caller(server.url, observers=[counting], **QUICK, max_connections=3) as caller,
        ThreadPoolExecutor(16) as pool,
    ):
        found = list(pool.map(lambda _: caller.call(READ), range(300)))
    assert found == [{"ok": True}] * 300
    assert server.connections == counting.statistics().connections_opened <= 3


def test_the_first_writes_of_many_threads_ask_once() -> None:
    with (
        scripted(answers({"features": ["idempotency"]})) as server,
        Caller(server.url, **QUICK) as caller,
        ThreadPoolExecutor(8) as pool,
    ):
        list(pool.map(lambda _: caller.call(KEYED), range(40)))
    assert [request.target for request in server.received].count("/info") == 1
    keys = {request.headers["idempotency-key"] for request in server.received if request.target == "/write"}
    assert len(keys) == 40


def test_an_open_breaker_lets_one_of_many_threads_probe() -> None:
    """The probe is held until all others have been refused."""
    refused = threading.Semaphore(0)

    def held(talk: Talk) -> None:
        talk.read_request()
        for _ in range(7):
            assert refused.acquire(timeout=PATIENCE)
        talk.send(answer(200, b'"probed"', {"Content-Type": "application/json"}))

    def call(caller: Caller) -> str:
        try:
            return str(caller.call(READ))
        except ServiceUnavailableError:
            refused.release()
            return "refused"

    with (
        scripted(problem(500, "internal"), held) as server,
        Caller(server.url, **QUICK, circuit_breaker_threshold=1, circuit_breaker_timeout=1e-9) as caller,
    ):
        with pytest.raises(Exception, match="said internal"):
            caller.call(READ)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: call(caller), range(8)))
        assert sorted(found) == ["probed", *["refused"] * 7]
    assert len(server.received) == 2


def test_the_deadline_of_one_thread_is_not_that_of_another() -> None:
    with (
        scripted(stalls()) as server,
        Caller(server.url, timeout=SOON, max_retries=0) as hurried,
        Caller(server.url, **QUICK) as patient,
        ThreadPoolExecutor(1) as pool,
    ):
        late = pool.submit(hurried.call, READ)
        assert server.stalled.wait(PATIENCE)
        assert patient.call(READ) == {"ok": True}
        with pytest.raises(KuzuTransientError):
            late.result(PATIENCE)


def test_a_client_that_is_closed_under_a_call_ends_it_and_goes_on() -> None:
    with scripted(stalls()) as server:
        caller = Caller(server.url, timeout=SOON, max_retries=0)
        with ThreadPoolExecutor(1) as pool:
            under_way = pool.submit(caller.call, READ)
            assert server.stalled.wait(PATIENCE)
            caller.close()
            with pytest.raises(KuzuTransientError):
                under_way.result(PATIENCE)
        assert caller.call(READ) == {"ok": True}
        caller.close()
