"""Which upgrades are accepted, and how the others are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.http.server.serving import read_all, read_answer, websocket_request
from tests.http.session.sockets import KEY, Running, running, upgrade

pytestmark = pytest.mark.trio
PATH = b"/databases/g/session"


async def status_of(node: Running, request: bytes) -> tuple[int, Any]:
    async with await node.served.connect() as stream:
        await stream.send_all(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += await stream.receive_some()
        status = int(received.split()[1])
        if status == 101:
            return status, None
        body = received.partition(b"\r\n\r\n")[2] + await read_all(stream)
        return status, json.loads(body)


@pytest.mark.parametrize(("key", "reason"), [("", "missing_key"), ("another", "invalid_key")])
async def test_the_key_is_checked_behind_the_accept(tmp_path: Path, key: str, reason: str) -> None:
    async with running(tmp_path) as node, node.client(key=key) as client:
        closed = await client.closed()
        assert (closed.code, closed.reason) == (4401, reason)
        assert node.node.sessions.total == 0


@pytest.mark.parametrize("name", ["nobody", "x" * 65, "%2e%2e"])
async def test_an_unknown_database_is_told_behind_the_accept(tmp_path: Path, name: str) -> None:
    async with running(tmp_path) as node, node.client(f"/databases/{name}/session") as client:
        closed = await client.closed()
        assert (closed.code, closed.reason) == (4404, "unknown_database")


async def test_a_wrong_key_learns_nothing_about_databases(tmp_path: Path) -> None:
    async with running(tmp_path) as node, node.client("/databases/nobody/session", key="another") as client:
        assert (await client.closed()).code == 4401


async def test_the_subprotocol_is_needed(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        for request in (websocket_request().replace(b"/socket", PATH), upgrade(protocol="kuzu.v2")):
            status, problem = await status_of(node, request)
            assert (status, problem["code"]) == (400, "bad_request")
        assert (await status_of(node, upgrade(protocol="kuzu.v2, kuzu.v1")))[0] == 101


async def test_other_paths_and_plain_requests_are_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        status, problem = await status_of(node, upgrade(path=b"/databases/g/query"))
        assert (status, problem["code"]) == (404, "unknown_route")
        status, problem = await status_of(node, upgrade(path=b"/databases/g/session?" + b"x" * 5000))
        assert (status, problem["code"]) == (414, "path_too_long")
        plain = b"GET /databases/g/session HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Kuzu-API-Key: %b\r\n\r\n"
        status, problem = await status_of(node, plain % KEY.encode())
        assert (status, problem["code"]) == (400, "bad_request")


async def test_so_many_sessions_and_no_more(tmp_path: Path) -> None:
    async with running(tmp_path, KUZU_MAX_SESSIONS_PER_DB="2") as node:
        async with node.client() as one, node.client() as two:
            assert (await one.ask("ping"))["type"] == (await two.ask("ping"))["type"] == "pong"
            assert node.node.statistics().sessions == 2
            status, problem = await status_of(node, upgrade())
            assert (status, problem["code"], problem["retry_after"]) == (503, "pool_exhausted", 1)
        while node.node.sessions.total:
            await trio.lowlevel.checkpoint()
        async with node.client() as three:
            assert await three.value("RETURN 3 AS n") == 3


async def test_a_draining_node_takes_no_sessions(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        node.node.drain()
        status, problem = await status_of(node, upgrade())
        assert (status, problem["code"], problem["retry_after"]) == (503, "draining", 5)
        node.node.undrain()
        assert (await status_of(node, upgrade()))[0] == 101


async def test_pages_of_foreign_origins_are_refused(tmp_path: Path) -> None:
    async with running(tmp_path, KUZU_CORS_ORIGINS="https://app.example") as node:
        status, problem = await status_of(node, upgrade("Origin: https://evil.example"))
        assert (status, problem["code"]) == (403, "forbidden")
        for origin in ("https://app.example", "http://x"):  # the second is the node's own, by its Host
            assert (await status_of(node, upgrade(f"Origin: {origin}")))[0] == 101


@pytest.mark.parametrize(
    "request_bytes",
    [
        upgrade() + b"x",
        upgrade() + b"\x81\x05hello",
        upgrade("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=xx"),
        upgrade("Sec-WebSocket-Protocol: k\xe4se"),
        upgrade().replace(b"Version: 13", b"Version: 8"),
        upgrade() + b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
    ],
)
async def test_broken_handshakes_harm_nobody(tmp_path: Path, request_bytes: bytes) -> None:
    async with running(tmp_path) as node:
        async with await node.served.connect() as stream:
            await stream.send_all(request_bytes)
            await stream.receive_some()
        await assert_alive_with_sessions(node)


async def assert_alive_with_sessions(node: Running) -> None:
    async with await node.served.connect() as stream:
        await stream.send_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await read_answer(stream)).status == 200
    async with node.client() as client:
        assert await client.value("RETURN 1 AS n") == 1
    while node.node.sessions.total:
        await trio.lowlevel.checkpoint()
