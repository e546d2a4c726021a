# ruff: noqa: PT012 # what is raised is raised by leaving the block
from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing
import trustme
from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket

from kuzu_client._core.wire import Endpoint
from kuzu_client.config import KuzuClientConfig
from kuzu_client.errors import (
    KuzuClientError,
    KuzuServerError,
    KuzuTimeoutError,
    KuzuTransientError,
    ServiceUnavailableError,
)
from kuzu_client.session import open_session
from tests.client.session.nodes import Peer, scripted

pytestmark = pytest.mark.trio

CONFIG = KuzuClientConfig(timeout=20)


async def welcome(request: WebSocketRequest) -> None:
    await Peer(await request.accept(subprotocol="kuzu.v1")).answer_everything()


@asynccontextmanager
async def listening(
    handler: Callable[[WebSocketRequest], Awaitable[None]], authority: trustme.CA | None = None
) -> AsyncIterator[int]:
    """A WebSocket server on loopback; its port."""

    async def forgiving(request: WebSocketRequest) -> None:
        with suppress(ConnectionClosed):
            await handler(request)

    tls = None
    if authority is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost").configure_cert(tls)
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, forgiving, "localhost", 0, tls)
        yield server.port
        nursery.cancel_scope.cancel()


async def test_the_request_carries_key_subprotocol_headers_and_path() -> None:
    seen: list[WebSocketRequest] = []

    async def look(request: WebSocketRequest) -> None:
        seen.append(request)
        await welcome(request)

    with trio.fail_after(30):
        async with listening(look) as port:
            endpoint = Endpoint.at(f"http://localhost:{port}/graphs/", "K", {"X-Trace": "t"})
            async with open_session(endpoint, "g", CONFIG) as session:
                assert (await session.query("RETURN 1")).row_count == 1
    headers = dict(seen[0].headers)
    assert seen[0].path == "/graphs/databases/g/session"
    assert seen[0].proposed_subprotocols == ("kuzu.v1",)
    assert headers[b"x-kuzu-api-key"] == b"K"
    assert headers[b"x-trace"] == b"t"


async def test_https_becomes_wss_with_the_authority_of_the_configuration() -> None:
    authority = trustme.CA()
    with trio.fail_after(30), authority.cert_pem.tempfile() as bundle:
        async with listening(welcome, authority) as port:
            endpoint = Endpoint.at(f"https://localhost:{port}", None, {})
            trusting = KuzuClientConfig(timeout=20, ca_bundle=bundle)
            async with open_session(endpoint, "g", trusting) as session:
                assert (await session.query("RETURN 1")).row_count == 1
            with pytest.raises(KuzuTransientError, match=r"could not connect.*certificate") as refused:
                async with open_session(endpoint, "g", CONFIG):
                    raise AssertionError
            assert refused.value.committed is False


async def test_a_node_that_is_not_there_is_a_connection_that_failed() -> None:
    with trio.fail_after(30):
        listener = trio.socket.socket()
        await listener.bind(("127.0.0.1", 0))  # bound and not listening: refused
        endpoint = Endpoint.at(f"http://127.0.0.1:{listener.getsockname()[1]}", None, {})
        with listener, pytest.raises(KuzuTransientError, match="could not connect") as refused:
            async with open_session(endpoint, "g", CONFIG):
                raise AssertionError
        assert refused.value.committed is False


async def test_without_a_base_url_there_is_no_endpoint() -> None:
    with pytest.raises(ServiceUnavailableError, match="KUZU_API_URL"):
        async with open_session(Endpoint.at("", None, {}), "g", CONFIG):
            raise AssertionError


async def test_a_refused_upgrade_is_the_error_of_its_problem_document() -> None:
    async def refuse(request: WebSocketRequest) -> None:
        problem = {"status": 503, "code": "pool_exhausted", "detail": "100 sessions are open", "retry_after": 2}
        headers = [(b"Content-Type", b"application/problem+json"), (b"Retry-After", b"3"), (b"X-Request-ID", b"r1")]
        await request.reject(503, extra_headers=headers, body=json.dumps(problem).encode())

    with trio.fail_after(30):
        async with listening(refuse) as port:
            with pytest.raises(KuzuTransientError, match="100 sessions are open") as refused:
                async with open_session(Endpoint.at(f"http://localhost:{port}", None, {}), "g", CONFIG):
                    raise AssertionError
    error = refused.value
    assert (error.code, error.retry_after, error.request_id, error.committed) == ("pool_exhausted", 3, "r1", False)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", KuzuClientError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", KuzuServerError),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", KuzuServerError),
        (b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", KuzuServerError),
        (b"", KuzuTransientError),
        (b"HTTP/1.1 101 Switch", KuzuTransientError),
    ],
)
async def test_whatever_else_answers_is_told_apart(answer: bytes, kind: type[Exception]) -> None:
    async def answer_and_close(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(answer)
        if answer.endswith(b"\r\n\r\n"):
            await stream.receive_some()

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, answer_and_close, 0)
            port = listeners[0].socket.getsockname()[1]
            with pytest.raises(kind) as refused:
                async with open_session(Endpoint.at(f"http://localhost:{port}", None, {}), "g", CONFIG):
                    raise AssertionError
            assert type(refused.value) is kind
            nursery.cancel_scope.cancel()


async def test_a_node_that_speaks_another_protocol_is_left() -> None:
    async def accept_anything(request: WebSocketRequest) -> None:
        await Peer(await request.accept()).answer_everything()

    with trio.fail_after(30):
        async with listening(accept_anything) as port:
            with pytest.raises(KuzuServerError, match=r"does not speak kuzu\.v1"):
                async with open_session(Endpoint.at(f"http://localhost:{port}", None, {}), "g", CONFIG):
                    raise AssertionError


async def test_a_wrong_key_is_told_when_the_session_opens(autojump_clock: trio.testing.MockClock) -> None:
    async def refuse(peer: Peer) -> None:
        await peer.socket.aclose(4401, "invalid_key")

    async with scripted(refuse) as node:
        with pytest.raises(KuzuClientError) as refused:
            async with node.session():
                raise AssertionError
    assert (refused.value.status_code, refused.value.code) == (401, "invalid_key")


async def test_a_node_that_accepts_and_says_nothing_is_given_up_in_time(autojump_clock: trio.testing.MockClock) -> None:
    async def mute(peer: Peer) -> None:
        await trio.sleep_forever()

    async with scripted(mute) as node:
        began = trio.current_time()
        with pytest.raises(KuzuTimeoutError, match="not accepted in time") as late:
            async with node.session(KuzuClientConfig(timeout=7)):
                raise AssertionError
        assert 7 <= trio.current_time() - began <= 12
        assert late.value.committed is False


class Spilled(Exception):
    """Of the program that uses the session."""


async def test_exceptions_of_the_block_come_out_as_they_are(autojump_clock: trio.testing.MockClock) -> None:
    spilled = Spilled()
    group = ExceptionGroup("of the program", [Spilled(), ValueError()])
    async with scripted(Peer.answer_everything) as node:
        for error in (spilled, group):
            with pytest.raises((Spilled, ExceptionGroup)) as raised:
                async with node.session() as session:
                    await session.query("RETURN 1")
                    raise error
            assert raised.value is error


async def test_a_node_that_does_not_take_leave_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    async def deaf(peer: Peer) -> None:
        await peer.socket.get_message()
        await peer.say("pong", 1)
        await trio.sleep_forever()

    pair = trio.testing.lockstep_stream_pair
    async with scripted(deaf, pair=pair) as node, trio.open_nursery() as nursery:
        began = trio.current_time()
        async with node.session() as session:
            for _ in range(40):
                nursery.start_soon(ignoring, session.query("x" * 1000))
            await trio.testing.wait_all_tasks_blocked()
        assert trio.current_time() - began <= 3


async def ignoring(call: Awaitable[object]) -> None:
    with suppress(Exception):
        await call
