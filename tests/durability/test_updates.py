"""Many small updates, which fill the engine's pool long before the log is worth a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from kuzu_node.engine.database import Database
from kuzu_node.engine.values import Query, Transaction, TransactionStatement
from kuzu_node.node import open_node
from tests.durability.driving import config, create, kill_worker, run, value, worker_of

pytestmark = pytest.mark.trio
# A pool of 38 MB, which 1200 updates of a relationship would fill.
SMALL = {"KUZU_MEMORY_PER_DB_MB": "64"}
SCHEMA = ("CREATE NODE TABLE P(id INT64, n INT64, PRIMARY KEY(id))", "CREATE REL TABLE K(FROM P TO P, n INT64)")
COUNT = "MATCH (a:P {id: 1})-[k:K]->() SET k.n = k.n + 1"
COUNTED = "MATCH (a:P {id: 1})-[k:K]->() RETURN k.n"


async def filled(database: Database) -> None:
    await run(database, "UNWIND range(1, 100) AS x CREATE (:P {id: x, n: 0})")
    await run(database, "MATCH (a:P), (b:P) WHERE b.id = a.id + 1 CREATE (a)-[:K {n: 0}]->(b)")


async def test_updates_without_end_fit_the_pool_and_a_kill_loses_none(tmp_path: Path) -> None:
    async with open_node(config(tmp_path, **SMALL)) as node:
        database = await create(node, "updates", *SCHEMA)
        await filled(database)
        pool = database.checkpoints.pool_bytes
        for number in range(1, 1601):
            await run(database, COUNT)
            if number % 200 == 0:
                assert await worker_of(database).pool_in_use() < pool * 3 / 4
        await kill_worker(database)
        assert await value(database, COUNTED) == 1600


async def test_runs_of_transactions_and_of_sessions_count_as_updates(tmp_path: Path) -> None:
    async with open_node(config(tmp_path, **SMALL)) as node:
        database = await create(node, "updates", *SCHEMA)
        await filled(database)
        before = database.checkpoints._updates
        runs = tuple({"x": number} for number in range(5))
        text = "MATCH (p:P {id: $x}) SET p.n = 1"
        await database.transaction(
            Transaction(statements=(TransactionStatement(cypher=text, parameter_sets=runs),)),
        )
        assert database.checkpoints._updates == before + 5
        async with database.session() as session:
            await session.begin(read_only=False)
            for _ in range(3):
                async with session.query(Query(cypher=COUNT)):
                    pass
            assert database.checkpoints._updates == before + 5
            await session.commit()
        assert database.checkpoints._updates == before + 8
