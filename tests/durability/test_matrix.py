"""Each kind of statement, a write after it or not, each way for a worker to end: what was acknowledged is there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from kuzu_node.engine.database import Database
from kuzu_node.node import Node, open_node
from tests.durability import kinds
from tests.durability.driving import checkpoint, config, create, kill_worker
from tests.durability.kinds import KINDS

pytestmark = pytest.mark.trio
ROOT = Path(__file__).parents[2]


def names() -> list[str]:
    return [f"kind-{number}" for number in range(len(KINDS))]


async def each(node: Node, work: object, *, write_after: bool) -> None:
    """Two at a time: there are two cores."""
    limiter = trio.CapacityLimiter(2)

    async def one(name: str, kind: kinds.Kind) -> None:
        async with limiter:
            await work(node, name, kind, write_after)  # type: ignore[operator]  # one signature, in this module only

    async with trio.open_nursery() as nursery:
        for name, kind in zip(names(), KINDS, strict=True):
            nursery.start_soon(one, name, kind)


async def prepare(node: Node, name: str, kind: kinds.Kind, write_after: bool) -> Database:
    database = await create(node, name, *kinds.SCHEMA)
    await kinds.fill(database)
    await kinds.perform(database, kind, write_after=write_after)
    return database


async def prepare_and_kill(node: Node, name: str, kind: kinds.Kind, write_after: bool) -> None:
    database = await prepare(node, name, kind, write_after)
    await kill_worker(database)
    await kinds.verify(database, kind, write_after=write_after)


async def prepare_and_checkpoint(node: Node, name: str, kind: kinds.Kind, write_after: bool) -> None:
    database = await prepare(node, name, kind, write_after)
    await checkpoint(database)
    await kill_worker(database)
    await kinds.verify(database, kind, write_after=write_after)


async def verify(node: Node, name: str, kind: kinds.Kind, write_after: bool) -> None:
    await kinds.verify(node.databases.get(name), kind, write_after=write_after)


@pytest.mark.parametrize("write_after", [False, True])
async def test_worker_killed_after_an_acknowledgement_loses_nothing(tmp_path: Path, write_after: bool) -> None:
    async with open_node(config(tmp_path)) as node:
        await each(node, prepare_and_kill, write_after=write_after)


@pytest.mark.parametrize("write_after", [False, True])
async def test_worker_killed_after_a_checkpoint_loses_nothing(tmp_path: Path, write_after: bool) -> None:
    async with open_node(config(tmp_path)) as node:
        await each(node, prepare_and_checkpoint, write_after=write_after)


@pytest.mark.parametrize("write_after", [False, True])
async def test_node_closed_in_order_loses_nothing(tmp_path: Path, write_after: bool) -> None:
    async with open_node(config(tmp_path)) as node:
        await each(node, prepare, write_after=write_after)
    async with open_node(config(tmp_path)) as node:
        await each(node, verify, write_after=write_after)


@pytest.mark.parametrize("write_after", [False, True])
async def test_node_killed_after_acknowledgements_loses_nothing(tmp_path: Path, write_after: bool) -> None:
    await trio.to_thread.run_sync(run_and_kill_node, tmp_path, write_after)
    async with open_node(config(tmp_path)) as node:
        await each(node, verify, write_after=write_after)


def run_and_kill_node(base: Path, write_after: bool) -> None:
    command = [sys.executable, "-m", "tests.durability.test_matrix", str(base), str(int(write_after))]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as popen:
        assert popen.stdout is not None
        try:
            assert popen.stdout.readline() == b"acknowledged\n"
        finally:
            os.kill(popen.pid, signal.SIGKILL)


async def serve_until_killed(base: Path, write_after: bool) -> None:
    async with open_node(config(base, LOG_LEVEL="ERROR")) as node:
        await each(node, prepare, write_after=write_after)
        sys.stdout.write("acknowledged\n")
        sys.stdout.flush()
        await trio.sleep_forever()


if __name__ == "__main__":
    import structlog

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    trio.run(serve_until_killed, Path(sys.argv[1]), sys.argv[2] == "1")
