"""The first query on a closed database, when a spare is ready and when none is; and many databases on few places.

`python -m bench.cold_open [--rounds 10] [--databases 50]`. With a spare ready it must answer within 100 ms.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import trio

from kuzu_node.config import load
from kuzu_node.engine.database import Database
from kuzu_node.engine.values import DatabaseSpec, Query
from kuzu_node.errors import Unavailable
from kuzu_node.node import Node, open_node

DDL = "CREATE NODE TABLE P(id INT64, PRIMARY KEY(id))"
# Longer than a spare takes to start.
SETTLE = 2.0


async def create(node: Node, name: str) -> Database:
    return await node.databases.create(DatabaseSpec(graph_id=name, schema_type="custom", ddl=(DDL,)))


async def ask(database: Database) -> float:
    """Milliseconds until the answer."""
    started = time.perf_counter()
    async with database.query(Query(cypher="MATCH (p:P) RETURN count(*) AS n")):
        return (time.perf_counter() - started) * 1000


async def first_queries(folder: Path, rounds: int) -> None:
    settings = {"KUZU_MAX_MEMORY_MB": "256", "KUZU_MEMORY_PER_DB_MB": "256", "KUZU_QUEUE_TIMEOUT": "60"}
    async with open_node(load({"KUZU_DATABASE_PATH": str(folder), **settings})) as node:
        databases = [await create(node, name) for name in ("a", "b")]
        warm = [await ask(databases[1]) for _ in range(20)]
        ready, bare = list[float](), list[float]()
        for number in range(2 * rounds):
            # There is one place: each of them closes the other, which takes a part of the time.
            if number % 2:
                await trio.sleep(SETTLE)
            (ready if number % 2 else bare).append(await ask(databases[number % 2]))
    for name, found in (("warm", warm), ("spare ready", ready), ("none ready", bare)):
        found.sort()
        print(f"{name:>12}: median {found[len(found) // 2]:7.1f} ms, longest {found[-1]:7.1f} ms", flush=True)


async def many(folder: Path, count: int) -> None:
    settings = {"KUZU_MAX_MEMORY_MB": "2560", "KUZU_MEMORY_PER_DB_MB": "256", "KUZU_MAX_DATABASES_PER_NODE": str(count)}
    async with open_node(load({"KUZU_DATABASE_PATH": str(folder), **settings})) as node:
        databases = [await create(node, f"g{number}") for number in range(count)]
        started, refused = time.perf_counter(), 0

        async def visit(database: Database) -> None:
            nonlocal refused
            while True:
                try:
                    await ask(database)
                except Unavailable:
                    refused += 1
                else:
                    return

        async with trio.open_nursery() as nursery:
            for database in databases:
                nursery.start_soon(visit, database)
        seconds = time.perf_counter() - started
        print(
            f"{count} databases at once on {node.config.engine.max_open} places: all answered within {seconds:.1f} s, "
            f"{refused} times 503 and asked again",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--databases", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trio.run(first_queries, Path(folder) / "first", options.rounds)
        trio.run(many, Path(folder) / "many", options.databases)


if __name__ == "__main__":
    main()
