"""Readers that stop in the middle of long results: what they hold, and for how long."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import trio

from tests.process.client import ConnectionLost, NodeClient, connected
from tests.process.nodes import NodeProcess, running

pytestmark = pytest.mark.trio
PATIENCE = 60
READERS = 20
ROWS = 1_000_000
MILLION = "UNWIND range(0, 999) AS a UNWIND range(0, 999) AS b RETURN a * 1000 + b AS x, a AS y, 'abcdefgh' AS z"
MOST_MB = 32
# A statement waits at most this long for room among the results; others share the machine.
SLOWEST_ANSWER = 5.0


@attrs.define(eq=False)
class Readers:
    """What has become of them: how many got rows, were told to come again, and lost the rest of their rows."""

    begun: int = 0
    refused: int = 0
    cut: int = 0

    async def run(self, node: NodeProcess, goes_on: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
        async with connected(node) as client:
            await client.start_query(MILLION, accept="application/jsonl")
            status, _ = await client.head()
            task_status.started()
            if status == 503:
                self.refused += 1
                return
            assert status == 200
            self.begun += 1
            rows = (await client.receive()).count(b"\n")
            await goes_on.wait()
            try:
                while part := await client.receive():
                    rows += part.count(b"\n")
            except ConnectionLost:
                assert rows < ROWS
                self.cut += 1


async def test_stopped_readers_hold_up_nobody_are_cut_off_and_cost_no_memory(tmp_path: Path) -> None:
    settings = {"KUZU_STREAM_STALL_TIMEOUT": "2", "KUZU_MEMORY_PER_DB_MB": "2048", "KUZU_QUERY_TIMEOUT": "30"}
    with trio.fail_after(PATIENCE), running(tmp_path, **settings) as node:
        async with connected(node) as client, trio.open_nursery() as nursery:
            await client.create()
            assert await client.value("RETURN 1 AS one") == 1
            readers, goes_on = Readers(), trio.Event()
            before = most = node.memory_mb()

            async def begin() -> None:
                # One after the other: what is looked at is reading that has stopped, not a queue of work.
                for _ in range(READERS):
                    await nursery.start(readers.run, node, goes_on)

            nursery.start_soon(begin)
            while readers.begun + readers.refused < READERS or await held(client):
                started = trio.current_time()
                assert await client.value("RETURN 1 AS one") == 1
                assert trio.current_time() - started < SLOWEST_ANSWER
                most = max(most, node.memory_mb())
                # Often enough to notice, and not so often that the node does nothing else.
                with trio.move_on_after(0.02):
                    await trio.sleep_forever()
            goes_on.set()
        assert readers.begun > 3
        assert readers.cut == readers.begun
        assert most - before < MOST_MB


async def held(client: NodeClient) -> int:
    return int((await client.call("GET", "/admin/connections")).json["active_connections"])
