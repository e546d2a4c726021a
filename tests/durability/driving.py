"""How the tests of this folder use a node: in-process, with real workers on real files."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import trio

from kuzu_node.config import NodeConfig, load
from kuzu_node.engine.database import Database
from kuzu_node.engine.values import DatabaseSpec, Query
from kuzu_node.engine.worker import Worker
from kuzu_node.node import Node
from tests.engine.nodes import ask


def config(base: Path, **settings: str) -> NodeConfig:
    """Many small databases may be open at once."""
    defaults = {
        "KUZU_DATABASE_PATH": str(base),
        "KUZU_MEMORY_PER_DB_MB": "256",
        "KUZU_MAX_MEMORY_MB": "8192",
        "KUZU_MAX_DATABASES_PER_NODE": "100",
        "KUZU_MAX_DB_SIZE_GB": "4",
        "KUZU_QUEUE_TIMEOUT": "30",
        "KUZU_QUARANTINE_SECONDS": "0",
        # A process more for each node, which most tests have no use for.
        "KUZU_SPARE_WORKER": "false",
    }
    return load({**defaults, **settings})


async def create(node: Node, name: str, *ddl: str) -> Database:
    return await node.databases.create(DatabaseSpec(graph_id=name, schema_type="custom", ddl=ddl))


async def run(database: Database, cypher: str, **parameters: Any) -> list[list[Any]]:
    """The rows, values in the order of their columns. A write that returns is acknowledged."""
    query = Query(cypher=cypher, parameters=parameters)
    rows = await ask(database, cypher, query)
    assert query.committed is not None
    return [list(row.values()) for row in rows]


async def value(database: Database, cypher: str) -> Any:
    [[only]] = await run(database, cypher)
    return only


def worker_of(database: Database) -> Worker:
    worker = database.floor.presence.worker
    assert worker is not None
    return worker


async def kill_worker(database: Database) -> None:
    """kill -9, and only back when the node knows."""
    worker = worker_of(database)
    os.kill(worker.process.pid, signal.SIGKILL)
    with trio.fail_after(10):
        await worker.process.reap()


async def checkpoint(database: Database) -> None:
    """Raises when the engine refuses or the worker dies in it."""
    await run(database, "RETURN 1")
    with trio.fail_after(10):
        await database.checkpoints.run(worker_of(database), patience=5)
