"""A COPY that fails damages the key index for the next large one: the node changes the worker in between."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import trio

from kuzu_node.errors import NodeError
from kuzu_node.node import open_node
from tests.durability import kinds
from tests.durability.driving import config, create, run, value, worker_of

pytestmark = pytest.mark.trio
FAILING = "COPY T FROM (UNWIND range(20000, 60000) AS x RETURN CASE WHEN x = 60000 THEN 5 ELSE x END, 'a')"
LARGE = "COPY T FROM (UNWIND range(100000, 400000) AS x RETURN x, 'new')"
FIRST = "COPY T FROM (UNWIND range(1, 10000) AS x RETURN x, 'abc')"
TABLE = "CREATE NODE TABLE T(id INT64, s STRING, PRIMARY KEY(id))"
SAMPLE = range(100000, 400001, 997)

BARE = f"""
import os, sys, kuzu
database = kuzu.Database(sys.argv[1], buffer_pool_size=512 << 20, max_db_size=1 << 32, auto_checkpoint=False)
connection = kuzu.Connection(database, num_threads=2)
for text in ({TABLE!r}, {FIRST!r}, {FAILING!r}, {LARGE!r}):
    try:
        connection.execute(text)
    except RuntimeError:
        assert text == {FAILING!r}
found = [connection.execute(f"MATCH (t:T {{{{id: {{key}}}}}}) RETURN t.id").get_num_tuples() for key in {SAMPLE!r}]
print(found.count(0), flush=True)
os._exit(0)
"""


async def test_bare_engine_loses_keys_behind_a_failed_copy(tmp_path: Path) -> None:
    ended = await trio.run_process([sys.executable, "-c", BARE, str(tmp_path / "bare")], capture_stdout=True)
    assert int(ended.stdout) > 0


async def test_node_loses_no_keys_behind_a_failed_copy(tmp_path: Path) -> None:
    async with open_node(config(tmp_path, KUZU_MEMORY_PER_DB_MB="1024")) as node:
        database = await create(node, "failing", TABLE)
        await run(database, FIRST)
        first = worker_of(database)
        with pytest.raises(NodeError) as caught:
            await run(database, FAILING)
        assert (caught.value.code, caught.value.committed) == ("constraint", False)
        await run(database, LARGE)
        assert worker_of(database) is not first
        assert await value(database, "MATCH (t:T) RETURN count(*)") == 310001
        await kinds.look_up(database, "T", "T", every=997)


@pytest.mark.parametrize(
    ("cypher", "code"),
    [
        ("COPY P(id, s) FROM (UNWIND ['7', 'seven'] AS x RETURN cast(x AS INT64), 's')", "runtime"),
        ("COPY K(w) FROM (UNWIND [1, 2] AS x RETURN x, x + 99999 AS y, 1 AS w)", "constraint"),
        ("COPY P(id, s) FROM (UNWIND [1000, 1000] AS x RETURN x, 's')", "constraint"),
    ],
)
async def test_failed_copy_changes_nothing_and_the_next_write_has_a_fresh_worker(
    tmp_path: Path, cypher: str, code: str
) -> None:
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "failing", *kinds.SCHEMA)
        await kinds.fill(database)
        first = worker_of(database)
        with pytest.raises(NodeError) as caught:
            await run(database, cypher)
        assert (caught.value.code, caught.value.committed) == (code, False)
        await run(database, "CREATE (:After {id: 1})")
        assert worker_of(database) is not first
        assert await value(database, "MATCH (p:P) RETURN count(*)") == kinds.ROWS


async def test_copy_given_up_leaves_no_transaction_behind(tmp_path: Path) -> None:
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "given-up", *kinds.SCHEMA)
        await kinds.fill(database)
        with trio.move_on_after(0.3) as scope:
            await run(database, "COPY P(id, s) FROM (UNWIND range(1000, 3000000) AS x RETURN x, 'too late')")
        assert scope.cancelled_caught
        assert await value(database, "MATCH (p:P) RETURN count(*)") == kinds.ROWS
        await run(database, "COPY P(id, s) FROM (UNWIND range(1000, 1009) AS x RETURN x, 'in time')")
        assert await value(database, "MATCH (p:P) RETURN count(*)") == kinds.ROWS + 10
        await kinds.look_up(database, "P", "P")
