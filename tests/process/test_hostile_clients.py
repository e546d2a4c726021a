"""Inputs that end a server built on plain hypercorn, sent to a node: they cost at most their own connection."""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import h2.events
import pytest
import trio

from tests.http.server.serving import Http2Client, read_all, websocket_request
from tests.process.client import connected, healthy
from tests.process.nodes import NodeProcess, running

pytestmark = pytest.mark.trio
PATIENCE = 30
ROWS = 400_000
STREAM = "UNWIND range(0, 999) AS a UNWIND range(0, 399) AS b RETURN a * 1000 + b AS x, 'abcdefgh' AS z"
TOO_LONG = 11 * 1024 * 1024


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """One for all: whatever one test breaks, the next one notices."""
    with running(tmp_path_factory.mktemp("node")) as one:
        yield one


@asynccontextmanager
async def beside_a_stream(node: NodeProcess) -> AsyncIterator[None]:
    """Around what is sent: a neighbour is in the middle of its rows before, and has them all afterwards."""
    with trio.fail_after(PATIENCE):
        async with connected(node, "g") as neighbour:
            reply = await neighbour.call("GET", "/databases/g")
            if reply.status == 404:
                await neighbour.create()
            await neighbour.start_query(STREAM, accept="application/jsonl")
            assert (await neighbour.head())[0] == 200
            rows = (await neighbour.receive()).count(b"\n")
            yield
            assert await healthy(node)
            while part := await neighbour.receive():
                rows += part.count(b"\n")
            assert rows == ROWS


@asynccontextmanager
async def http2(node: NodeProcess) -> AsyncIterator[Http2Client]:
    async with await node.connect() as stream:
        client = Http2Client(stream)
        await client.open()
        yield client


def head(method: bytes, path: bytes, *more: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    return [(b":method", method), (b":scheme", b"http"), (b":authority", b"x"), (b":path", path), *more]


async def test_http2_data_after_an_early_answer(node: NodeProcess) -> None:
    async with beside_a_stream(node), http2(node) as client:
        length = (b"content-length", str(TOO_LONG).encode())
        await client.request(1, head(b"POST", b"/databases/g/query", length), end=False)
        assert await client.status(1) == 413
        await client.wait(h2.events.StreamEnded, 1)
        client.connection.send_data(1, b"x" * 1000)
        await client.flush()
        await client.request(3, head(b"GET", b"/health"))
        assert await client.status(3) == 200


@pytest.mark.parametrize(
    "bad",
    [head(b"GET", b"/health\xff"), [(b":method", b"CONNECT"), (b":authority", b"x:1")]],
    ids=["path that is not ASCII", "CONNECT without a path"],
)
async def test_http2_heads_that_make_no_sense(node: NodeProcess, bad: list[tuple[bytes, bytes]]) -> None:
    async with beside_a_stream(node), http2(node) as client:
        await client.request(1, bad)
        assert await client.status(1) == 400
        await client.request(3, head(b"GET", b"/health"))
        assert await client.status(3) == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (websocket_request() + b"x", 400),
        (websocket_request("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=abc, \xff"), 404),
        (websocket_request("Sec-WebSocket-Protocol: \xff"), 400),
    ],
    ids=["a byte behind the upgrade", "broken extensions", "a protocol that is not ASCII"],
)
async def test_websocket_handshakes_that_are_broken(node: NodeProcess, sent: bytes, status: int) -> None:
    async with beside_a_stream(node), await node.connect() as stream:
        await stream.send_all(sent)
        received = await read_all(stream)
        assert received.startswith(b"HTTP/1.1 %d " % status)


async def test_an_upload_that_is_refused_before_it_is_read_gets_its_answer(node: NodeProcess) -> None:
    async with beside_a_stream(node), connected(node) as client:
        await client.begin("POST", "/databases/g/query", {"content-length": str(TOO_LONG)})
        async with trio.open_nursery() as nursery:

            async def upload() -> None:
                for _ in range(TOO_LONG // 65536):
                    await client.send(b"x" * 65536)

            nursery.start_soon(upload)
            status, headers = await client.head()
            assert (status, headers["connection"]) == (413, "close")
            nursery.cancel_scope.cancel()


async def test_a_chunked_body_beyond_the_limit_is_refused_where_it_passes_it(node: NodeProcess) -> None:
    async with beside_a_stream(node), connected(node) as client:
        await client.begin("POST", "/databases/g/query", {"transfer-encoding": "chunked"})
        async with trio.open_nursery() as nursery:

            async def upload() -> None:
                while True:
                    await client.send(b"x" * 65536)

            nursery.start_soon(upload)
            status, _ = await client.head()
            assert status == 413
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "garbage",
    [b"\0" * 100, b"GET / HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64],
    ids=["zeros", "an unknown version", "HTTP/2 without frames"],
)
async def test_garbage_costs_only_its_own_connection(node: NodeProcess, garbage: bytes) -> None:
    async with beside_a_stream(node), await node.connect() as stream:
        await stream.send_all(garbage)
        await stream.send_eof()
        await read_all(stream)


async def test_clients_that_take_every_descriptor_do_not_end_the_node(node: NodeProcess) -> None:
    """What samples the machine and keeps spare workers meets EMFILE meanwhile."""
    pid, limit = node.popen.pid, 100
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    async with beside_a_stream(node):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
        try:
            async with AsyncExitStack() as idle:
                for _ in range(limit):
                    await idle.enter_async_context(await node.connect())
                await node.until_said("sample_failed")
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    # The listener says so itself, rightly as an error.
    node.events[:] = [event for event in node.events if event.get("logger") != "trio.serve_listeners"]
