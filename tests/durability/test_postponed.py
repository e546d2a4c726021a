"""Checkpoints that the disk, or a value, does not allow: they wait, the database goes on, and nothing is lost."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import trio

from kuzu_node.engine import files
from kuzu_node.engine.checkpoints import CheckpointPostponed
from kuzu_node.engine.database import Database
from kuzu_node.engine.values import State
from kuzu_node.errors import NodeError
from kuzu_node.node import open_node
from tests.durability import kinds
from tests.durability.driving import checkpoint, config, create, kill_worker, run, value, worker_of

pytestmark = pytest.mark.trio
MANY = "UNWIND range(1000, 4000) AS x CREATE (:P {id: x, s: concat('a longer word for this one: ', cast(x AS STRING))})"


async def forbid_growth(database: Database, *, log_may_grow: int = 0) -> None:
    """From now on the worker cannot make its files longer, as on a full disk; its successor can."""
    await run(database, "RETURN 1")
    most = max(files.size(database.folder.file), files.size(database.folder.log)) + log_may_grow
    resource.prlimit(worker_of(database).process.pid, resource.RLIMIT_FSIZE, (most, most))


def let_it_try_again(database: Database) -> None:
    database.checkpoints._not_before = trio.current_time()


async def test_checkpoints_without_room_are_postponed_and_never_degrade_the_database(tmp_path: Path) -> None:
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "full", *kinds.SCHEMA)
        await kinds.fill(database)
        await checkpoint(database)
        await run(database, MANY)
        for number in range(3):
            await forbid_growth(database)
            let_it_try_again(database)
            with pytest.raises(CheckpointPostponed):
                await checkpoint(database)
            await run(database, f"CREATE (:After {{id: {number}}})")
            assert database.info().state is State.READY
            assert await value(database, "MATCH (p:P) RETURN count(*)") == kinds.ROWS + 3001
        # Not again before its time: a try costs a worker.
        worker = worker_of(database)
        with pytest.raises(CheckpointPostponed):
            await checkpoint(database)
        assert worker_of(database) is worker
        let_it_try_again(database)
        await checkpoint(database)
        assert database.checkpoints.log_bytes() == 0
        await kinds.look_up(database, "P", "P")
    async with open_node(config(tmp_path)) as node:
        assert await value(node.databases.get("full"), "MATCH (a:After) RETURN count(*)") == 3


async def test_a_node_closes_while_checkpoints_have_no_room(tmp_path: Path) -> None:
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "full", *kinds.SCHEMA)
        await checkpoint(database)
        await run(database, MANY)
        await forbid_growth(database)
    async with open_node(config(tmp_path)) as node:
        assert await value(node.databases.get("full"), "MATCH (p:P) RETURN count(*)") == 3001
        await checkpoint(node.databases.get("full"))


async def test_a_statement_that_needs_a_checkpoint_without_room_is_told_so(tmp_path: Path) -> None:
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "full", *kinds.SCHEMA)
        await kinds.fill(database)
        await checkpoint(database)
        await run(database, MANY)
        await forbid_growth(database)
        with pytest.raises(NodeError) as caught:
            await run(database, "ALTER TABLE P DROP a")
        assert (caught.value.code, caught.value.committed) == ("disk_full", False)
        assert await value(database, "MATCH (p:P) WHERE p.a = 7 RETURN p.a") == 7


async def test_a_map_that_the_engine_would_lose_is_named_and_everything_else_goes_on(tmp_path: Path) -> None:
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "maps", "CREATE NODE TABLE P(id INT64, PRIMARY KEY(id))")
        await run(database, "CREATE (:P {id: 1})")
        await checkpoint(database)
        await run(database, "ALTER TABLE P ADD m MAP(STRING, INT64)")
        await checkpoint(database)
        worker = worker_of(database)
        with pytest.raises(NodeError) as refused:
            await run(database, "COPY P(id, m) FROM (UNWIND range(2, 3) AS x RETURN x, map(['a'], [x]))")
        assert (refused.value.code, refused.value.committed) == ("constraint", False)
        await run(database, "MATCH (p:P) SET p.m = map(['a'], [7])")
        with pytest.raises(CheckpointPostponed, match=r"P\.m beside stored rows") as caught:
            await checkpoint(database)
        assert worker_of(database) is not worker
        assert await value(database, "MATCH (p:P) RETURN p.m") == {"a": 7}
        assert database.info().state is State.READY
        advice = str(caught.value.strerror)
        await run(database, advice[advice.index("MATCH") :])
        let_it_try_again(database)
        await checkpoint(database)
        assert await run(database, "MATCH (p:P) RETURN p.id, p.m") == [[1, None]]


async def test_maps_may_come_long_after_the_first_rows(tmp_path: Path) -> None:
    schema = "CREATE NODE TABLE P(id INT64, m MAP(STRING, INT64), l STRUCT(a INT64[])[], PRIMARY KEY(id))"
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "maps", schema)
        await run(database, "UNWIND range(1, 50) AS x CREATE (:P {id: x})")
        await run(database, "COPY P(id) FROM (UNWIND range(51, 60) AS x RETURN x)")
        await checkpoint(database)
        empty = "MATCH (p:P) WHERE p.m IS NOT NULL OR p.l IS NOT NULL RETURN count(*)"
        assert await value(database, empty) == 0
        await run(database, "MATCH (p:P) WHERE p.id > 40 SET p.m = map(['a'], [p.id]), p.l = [{a: [p.id]}]")
        await checkpoint(database)
        await kill_worker(database)
        rows = [[number, {"a": number}, [{"a": [number]}]] for number in range(41, 61)]
        assert await run(database, "MATCH (p:P) WHERE p.m IS NOT NULL RETURN p.id, p.m, p.l ORDER BY p.id") == rows
        assert await value(database, empty) == 20


async def test_lists_of_new_rows_beside_changed_ones_are_their_own(tmp_path: Path) -> None:
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "lists", "CREATE NODE TABLE P(id INT64, v DOUBLE[], PRIMARY KEY(id))")
        await run(database, "UNWIND range(1, 3) AS x CREATE (:P {id: x, v: [x + 0.5, x + 0.25]})")
        await checkpoint(database)
        for number in (4, 5):
            await run(database, f"MATCH (p:P {{id: 2}}) SET p.v = [{number}0.5]")
            await run(database, f"CREATE (:P {{id: {number}, v: [{number}.75]}})")
            await checkpoint(database)
        expected = [[1, [1.5, 1.25]], [2, [50.5]], [3, [3.5, 3.25]], [4, [4.75]], [5, [5.75]]]
        assert await run(database, "MATCH (p:P) RETURN p.id, p.v ORDER BY p.id") == expected
        assert await value(database, "CALL show_tables() RETURN count(*)") == 1
    async with open_node(config(tmp_path)) as node:
        assert await run(node.databases.get("lists"), "MATCH (p:P) RETURN p.id, p.v ORDER BY p.id") == expected


@pytest.mark.parametrize("write", ["MATCH (p:P {id: 2}) SET p.v = [24]", "MERGE (p:P {id: 2}) ON MATCH SET p.v = [24]"])
async def test_lists_are_looked_after_by_each_checkpoint_of_a_worker(tmp_path: Path, write: str) -> None:
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "lists", "CREATE NODE TABLE P(id INT64, v INT64[], PRIMARY KEY(id))")
        await run(database, "CREATE (:P {id: 1, v: [11, 12]}), (:P {id: 2, v: [89]})")
        await checkpoint(database)
        await run(database, "CREATE (:P {id: 3, v: [73]})")
        await run(database, write)
        await checkpoint(database)
        rows = await run(database, "MATCH (p:P) RETURN p.id, p.v ORDER BY p.id")
        assert rows == [[1, [11, 12]], [2, [24]], [3, [73]]]
