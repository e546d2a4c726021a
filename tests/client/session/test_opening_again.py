"""Sessions whose opening fails at first: nothing has been asked of the node then, so it is tried again."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, WebSocketServer

from kuzu_client import AsyncKuzuClient
from kuzu_client._core.observers import Event, Waits
from kuzu_client.errors import (
    KuzuAPIError,
    KuzuClientError,
    KuzuServerError,
    KuzuTransientError,
    ServiceUnavailableError,
)
from tests.client.calls import QUICK, Events
from tests.client.session.checkpoints import cancelled_at_every_checkpoint
from tests.client.session.nodes import Peer
from tests.client.session.test_opening import listening, welcome

pytestmark = pytest.mark.trio
Handler = Callable[[WebSocketRequest], Awaitable[None]]


def refusal(status: int, code: str, **more: Any) -> Handler:
    """Of the upgrade, with no time to wait for."""

    async def refuse(request: WebSocketRequest) -> None:
        problem = json.dumps({"status": status, "code": code, "detail": f"the {code}", **more})
        headers = [(b"Content-Type", b"application/problem+json")]
        await request.reject(status, extra_headers=headers, body=problem.encode())

    return refuse


def closing(code: int, reason: str) -> Handler:
    """Behind the accept."""

    async def close(request: WebSocketRequest) -> None:
        peer = Peer(await request.accept(subprotocol="kuzu.v1"))
        await peer.socket.aclose(code, reason)

    return close


async def speak_something_else(request: WebSocketRequest) -> None:
    await Peer(await request.accept()).answer_everything()


async def until_it_leaves(request: WebSocketRequest) -> None:
    with suppress(ConnectionClosed):
        await welcome(request)


def one_after_the_other(*handlers: Handler) -> Handler:
    """The last one for whoever comes later."""
    left = list(handlers)

    async def handle(request: WebSocketRequest) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(request)

    return handle


@pytest.mark.parametrize(
    ("first", "status"),
    [
        (refusal(503, "pool_exhausted", retry_after=0), 503),
        (refusal(503, "draining", retry_after=0), 503),
        (refusal(429, "rate_limited", retry_after=0), 429),
        (refusal(502, ""), 502),
        (closing(1012, "database_restarting; retry_after=0"), 503),
        (closing(1001, ""), None),
    ],
)
async def test_a_session_that_is_refused_for_now_is_opened_later(first: Handler, status: int | None) -> None:
    events = Events()
    with trio.fail_after(30):
        async with (
            listening(one_after_the_other(first, first, welcome)) as port,
            AsyncKuzuClient(f"http://localhost:{port}", graph_id="g", observers=[events], **QUICK) as client,
            client.session() as session,
        ):
            assert (await session.query("RETURN 1")).row_count == 1
            assert client.statistics().operations["session"].count == 3
    assert [attempt.status for attempt in events.attempts] == [status, status, 101]
    assert [(wait.operation, wait.attempt) for wait in events.waits] == [("session", 1), ("session", 2)]


async def test_a_node_that_is_not_there_yet_is_waited_for() -> None:
    with trio.fail_after(30), trio.socket.socket() as socket:
        await socket.bind(("127.0.0.1", 0))  # bound and not listening: refused

        def listen(event: Event) -> None:
            if isinstance(event, Waits):
                socket.listen()
                server = WebSocketServer(until_it_leaves, [trio.SocketListener(socket)])
                nursery.start_soon(server.run)

        url = f"http://127.0.0.1:{socket.getsockname()[1]}"
        async with trio.open_nursery() as nursery:
            client = AsyncKuzuClient(url, graph_id="g", observers=[listen], **QUICK)
            async with client, client.session() as session:
                assert (await session.query("RETURN 1")).row_count == 1
            assert client.statistics().retries == 1
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("only", "kind"),
    [
        (refusal(404, "unknown_route"), KuzuClientError),
        (refusal(403, "forbidden"), KuzuClientError),
        (refusal(500, "internal"), KuzuServerError),
        (closing(4401, "invalid_key"), KuzuClientError),
        (closing(4404, "unknown_database"), KuzuClientError),
        (closing(1011, "internal"), KuzuServerError),
        (speak_something_else, KuzuServerError),
    ],
)
async def test_what_would_be_refused_again_is_asked_once(only: Handler, kind: type[KuzuAPIError]) -> None:
    with trio.fail_after(30):
        async with (
            listening(one_after_the_other(only, welcome)) as port,
            AsyncKuzuClient(f"http://localhost:{port}", graph_id="g", **QUICK) as client,
        ):
            with pytest.raises(kind) as raised:
                async with client.session():
                    raise AssertionError
            assert raised.value.committed is False
            assert client.statistics().retries == 0


async def test_a_node_that_stays_away_is_asked_as_often_as_by_other_calls() -> None:
    events = Events()
    async with listening(refusal(503, "draining", retry_after=0)) as port:
        settings = {**QUICK, "circuit_breaker_threshold": 3, "max_retries": 1}
        async with AsyncKuzuClient(f"http://localhost:{port}", graph_id="g", observers=[events], **settings) as client:
            for sent in (2, 3, 3):
                with pytest.raises(KuzuTransientError):
                    async with client.session():
                        raise AssertionError
                assert len(events.attempts) == sent
            assert events.changes == [("closed", "open")]
            # The breaker is that of the endpoint: other calls are not sent either.
            with pytest.raises(ServiceUnavailableError):
                await client.get_info()
        assert len(events.attempts) == 3


async def test_what_a_session_was_asked_is_never_sent_again() -> None:
    sockets: list[Peer] = []

    async def break_off(request: WebSocketRequest) -> None:
        peer = Peer(await request.accept(subprotocol="kuzu.v1"))
        sockets.append(peer)
        await peer.hear()
        await peer.socket.aclose(1012, "draining; retry_after=0")

    with trio.fail_after(30):
        async with (
            listening(break_off) as port,
            AsyncKuzuClient(f"http://localhost:{port}", graph_id="g", **QUICK) as client,
        ):
            with pytest.raises(KuzuTransientError) as raised:
                async with client.session() as session:
                    await session.query("CREATE (:P)")
            assert raised.value.committed is None
    assert [len(peer.heard) for peer in sockets] == [1]


async def test_opening_is_given_up_when_the_time_of_a_call_is_up() -> None:
    async with listening(refusal(503, "draining", retry_after=30)) as port:
        async with AsyncKuzuClient(f"http://localhost:{port}", graph_id="g", timeout=20) as client:
            with trio.fail_after(10), pytest.raises(KuzuTransientError) as raised:
                async with client.session():
                    raise AssertionError
            assert (raised.value.retry_after, client.statistics().retries) == (30, 0)
        async with AsyncKuzuClient("", graph_id="g") as nowhere:
            with trio.fail_after(10), pytest.raises(ServiceUnavailableError, match="KUZU_API_URL"):
                async with nowhere.session():
                    raise AssertionError


async def test_opening_again_leaves_nothing_wherever_it_is_cancelled() -> None:
    served = 0

    async def counted(request: WebSocketRequest) -> None:
        nonlocal served
        served += 1
        try:
            await welcome(request)
        finally:
            served -= 1

    with trio.fail_after(60):
        async with listening(one_after_the_other(refusal(503, "draining", retry_after=0), counted)) as port:
            async with AsyncKuzuClient(f"http://localhost:{port}", graph_id="g", **QUICK) as client:

                async def open_one() -> None:
                    async with client.session() as session:
                        await session.query("RETURN 1")

                assert await cancelled_at_every_checkpoint(open_one) > 5
            while served:
                await trio.lowlevel.checkpoint()
            assert (client.statistics().breaker_trips, client.statistics().connections_reused) == (0, 0)
