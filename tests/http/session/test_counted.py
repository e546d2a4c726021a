"""What the node tells of its sessions to those who look after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kuzu_node.engine.values import DatabaseSpec
from tests.http.server.serving import read_answer
from tests.http.session.sockets import KEY, Running, running
from tests.http.session.test_endings import nothing_is_held

pytestmark = pytest.mark.trio


async def counted(node: Running) -> Any:
    """The same in both answers."""
    found = []
    for path in ("/metrics", "/admin/connections"):
        async with await node.served.connect() as stream:
            await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Kuzu-API-Key: {KEY}\r\n\r\n".encode())
            answer = await read_answer(stream)
            assert answer.status == 200, answer
            found.append(json.loads(answer.body)["sessions"])
    assert found[0] == found[1]
    return found[0]


async def test_sessions_and_their_transactions_are_counted_by_database(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        await node.node.databases.create(DatabaseSpec(graph_id="other", schema_type="custom", ddl=()))
        nothing = {"g": 0, "other": 0}
        assert await counted(node) == {"open": 0, "by_database": nothing, "transactions_by_database": nothing}
        async with node.client() as first, node.client() as second, node.client("/databases/other/session") as third:
            for client in (first, second, third):
                await client.ask("ping")
            await first.ask("begin")
            await second.ask("begin", read_only=True)
            sessions = {"open": 3, "by_database": {"g": 2, "other": 1}}
            assert await counted(node) == {**sessions, "transactions_by_database": {"g": 2, "other": 0}}
            await first.ask("commit")
            assert await counted(node) == {**sessions, "transactions_by_database": {"g": 1, "other": 0}}
        await nothing_is_held(node)
        assert await counted(node) == {"open": 0, "by_database": nothing, "transactions_by_database": nothing}
