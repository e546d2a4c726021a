"""A listening node that is sent JSON bodies near the limit, each hard to read in another way: nobody else waits."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import trio

from kuzu_node.config import load
from kuzu_node.observe.loop_steps import watched_loop
from kuzu_node.serve import serve
from tests.process.nodes import REPOSITORY, SETTINGS

pytestmark = pytest.mark.trio

# What is promised is 0.1; a loaded machine adds to it. Such bodies have held the loop for one to four seconds.
LONGEST_STEP = 0.5
PATIENCE = 120
SIZE_MIB = "4"
BODIES = {
    "empty lists": "413",
    "lists 30 deep": "413",
    "many lists as parameters": "413",
    "an object of many keys": "400",
    "an unknown field behind it": "413",
    "statements without a text": "413",
    "20 000 sets": "200",
}


async def test_bodies_near_the_limit_make_no_long_step(tmp_path: Path) -> None:
    config = load({"KUZU_DATABASE_PATH": str(tmp_path), "KUZU_PORT": "0", **SETTINGS})
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            addresses = await nursery.start(serve, config)
            with watched_loop() as steps:
                statuses = await sent(addresses[0][1])
            nursery.cancel_scope.cancel()
    assert statuses == ["201", *BODIES.values()]
    assert steps.longest < LONGEST_STEP, steps.slow


async def sent(port: int) -> list[str]:
    """How they were answered. They are made in another process, since that holds up whoever does it."""
    command = [sys.executable, "-m", "bench.loop_steps", "--send", str(port), SIZE_MIB, ",".join(BODIES)]
    done = await trio.run_process(command, stdin=b"\n" * (1 + len(BODIES)), capture_stdout=True, cwd=REPOSITORY)
    return [line[:3] for line in done.stdout.decode().splitlines()[1::2]]
