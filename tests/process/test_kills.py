"""kill -9 of the node: what was acknowledged is there in the next one, which may start while old workers still end."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import trio

from tests.process.client import connected
from tests.process.load import Load, check_nothing_lost
from tests.process.nodes import running

pytestmark = pytest.mark.trio
PATIENCE = 60
ROUNDS = 2


async def test_a_node_killed_under_load_starts_again_at_once_with_all_that_was_acknowledged(tmp_path: Path) -> None:
    load = Load()
    with trio.fail_after(PATIENCE):
        for number in range(ROUNDS):
            # A small log, so that checkpoints run all the time.
            with running(tmp_path, KUZU_CHECKPOINT_WAL_MB="1") as node:
                if number == 0:
                    async with connected(node) as client:
                        await client.create()
                else:
                    await check_nothing_lost(load, node)
                await load.put_on(node, signal.SIGKILL)
                assert await node.exit_code() == -signal.SIGKILL
        with running(tmp_path) as node:
            await check_nothing_lost(load, node)
            async with connected(node) as client:
                await client.rows("CREATE (:P {id: -1})")
                assert await client.value("MATCH (p:P {id: -1}) RETURN count(*)") == 1


async def test_workers_do_not_outlive_their_node(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE), running(tmp_path) as node:
        async with connected(node) as client:
            await client.create()
        workers = node.children()
        assert len(workers) >= 2
        node.send(signal.SIGKILL)
        await node.exit_code()
        for worker in workers:
            await trio.to_thread.run_sync(worker.wait, 10, abandon_on_cancel=True)
