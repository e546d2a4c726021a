"""Relationships beside deleted ones, in a node: through its checkpoints and closes, what is acknowledged stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from kuzu_node.node import open_node
from tests.durability.driving import checkpoint, config, create, kill_worker, run

pytestmark = pytest.mark.trio
SCHEMA = ("CREATE NODE TABLE P(id INT64, PRIMARY KEY(id))", "CREATE REL TABLE K(FROM P TO P)")
READ = "MATCH (a:P)-[k:K]->(b:P) WHERE offset(id(k)) >= 0 RETURN a.id, b.id ORDER BY a.id"
BACK = "MATCH (b:P)<-[k:K]-(a:P) WHERE offset(id(k)) >= 0 RETURN a.id, b.id ORDER BY a.id"


@pytest.mark.parametrize("killed", [False, True])
async def test_a_deleted_relationship_takes_no_other_with_it(tmp_path: Path, killed: bool) -> None:
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "related", *SCHEMA)
        await run(database, "UNWIND range(0, 20000) AS x CREATE (:P {id: x})")
        for one in (1, 15000):
            await run(database, f"MATCH (a:P {{id: {one}}}), (b:P {{id: {one} + 1}}) CREATE (a)-[:K]->(b)")
        await checkpoint(database)
        await run(database, "MATCH (a:P {id: 1})-[k:K]->() DELETE k")
        if killed:
            await kill_worker(database)
        await checkpoint(database)
        assert await run(database, READ) == await run(database, BACK) == [[15000, 15001]]
        await run(database, "MATCH (a:P {id: 3}), (b:P {id: 4}) CREATE (a)-[:K]->(b)")
        await run(database, "MATCH (a:P {id: 3})-[k:K]->() DELETE k")
    async with open_node(config(tmp_path)) as node:
        database = node.databases.get("related")
        assert await run(database, READ) == await run(database, BACK) == [[15000, 15001]]
