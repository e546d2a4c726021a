"""Calls of the async client that are cancelled in their midst leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from kuzu_client import AsyncKuzuClient
from tests.client.calls import QUICK
from tests.client.scripted import answers, chunked, head, scripted, stalls

pytestmark = pytest.mark.anyio

ARCHIVE = head(200, {"Content-Type": "application/zip", "Transfer-Encoding": "chunked"}) + chunked([b"x" * 2_000_000])
EVENTS = head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
NDJSON = head(200, {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"})


async def until_written(folder: Path) -> None:
    with anyio.fail_after(20):
        while not any(path.stat().st_size for path in folder.iterdir()):
            await anyio.lowlevel.checkpoint()


async def test_a_cancelled_export_leaves_no_file(tmp_path: Path) -> None:
    with scripted(stalls(ARCHIVE), answers([])) as server:
        async with AsyncKuzuClient(server.url, **QUICK, max_connections=1) as client:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.export_database, "g", tmp_path / "g.zip")
                await until_written(tmp_path)
                tasks.cancel_scope.cancel()
            assert list(tmp_path.iterdir()) == []
            assert await client.list_tasks() == []


async def test_a_cancelled_stream_gives_its_connection_back() -> None:
    with scripted(stalls(NDJSON), stalls(EVENTS), answers([])) as server:
        async with AsyncKuzuClient(server.url, **QUICK, max_connections=1) as client:
            for source in (client.rows("RETURN 1", read_only=True), client.monitor_task("t")):
                server.stalled.clear()
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(source.__anext__)
                    await anyio.to_thread.run_sync(server.stalled.wait, 20)
                    tasks.cancel_scope.cancel()
            assert await client.list_tasks() == []
