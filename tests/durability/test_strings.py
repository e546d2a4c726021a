"""Strings that the engine would scramble at a checkpoint, in a node: by its checkpoints, a COPY, and at its close."""

from __future__ import annotations

from pathlib import Path

import pytest

from kuzu_node.engine.database import Database
from kuzu_node.engine.process import WorkerDied
from kuzu_node.engine.values import State
from kuzu_node.node import open_node
from tests.durability.driving import checkpoint, config, create, run, value

pytestmark = pytest.mark.trio
SCHEMA = "CREATE NODE TABLE P(id INT64, s STRING, PRIMARY KEY(id))"
ALL = "MATCH (p:P) RETURN p.id, p.s ORDER BY p.id"


async def in_danger(database: Database) -> list[list[object]]:
    """What is stored now: new rows that are all NULL would scramble it."""
    for number in range(5):
        await run(database, f"CREATE (:P {{id: {number}, s: 'v{number}'}})")
    await checkpoint(database)
    await run(database, "MATCH (p:P {id: 2}) SET p.s = 'changed'")
    await checkpoint(database)
    return await run(database, ALL)


async def test_checkpoints_and_closing_keep_strings_beside_new_rows_that_are_null(tmp_path: Path) -> None:
    for by_closing in (False, True):
        async with open_node(config(tmp_path / str(by_closing))) as node:
            database = await create(node, "strings", SCHEMA)
            stored = await in_danger(database)
            await run(database, "CREATE (:P {id: 100})")
            if not by_closing:
                await checkpoint(database)
                assert await run(database, ALL) == [*stored, [100, None]]
        async with open_node(config(tmp_path / str(by_closing))) as node:
            assert await run(node.databases.get("strings"), ALL) == [*stored, [100, None]]


async def test_copy_of_rows_that_are_null_keeps_the_strings_that_are_stored(tmp_path: Path) -> None:
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "strings", SCHEMA)
        stored = await in_danger(database)
        await run(database, "COPY P(id) FROM (UNWIND range(100, 101) AS x RETURN x)")
        assert await run(database, ALL) == [*stored, [100, None], [101, None]]
        assert database.info().state is State.READY


async def test_what_a_checkpoint_has_scrambled_is_put_back_and_avoided_the_next_time(tmp_path: Path) -> None:
    async with open_node(config(tmp_path)) as node:
        database = await create(node, "strings", SCHEMA)
        stored = await in_danger(database)
        # The engine does not tell that this one is NULL by now.
        await run(database, "CREATE (:P {id: 100, s: 'x'})")
        await run(database, "MATCH (p:P {id: 100}) SET p.s = NULL")
        with pytest.raises(WorkerDied):
            await checkpoint(database)
        assert await run(database, ALL) == [*stored, [100, None]]
        await checkpoint(database)
        assert await run(database, ALL) == [*stored, [100, None]]
        assert await value(database, "MATCH (p:P {id: 2}) RETURN p.s") == "changed"
        assert database.info().state is State.READY
