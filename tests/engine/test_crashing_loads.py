"""A file that kills the worker whenever it is loaded is shut out, and no other file with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from kuzu_node.engine.database import Database
from kuzu_node.engine.values import LoadRequest
from kuzu_node.errors import NodeError
from tests.engine.nodes import ask, create, opened

pytestmark = pytest.mark.trio

ROWS = 30_000


async def load(database: Database, first: int, *, rows: int = ROWS, ignore_errors: bool = False) -> None:
    """Rows that differ from those of another call by no more than their numbers."""
    async with database.staging() as folder:
        path = folder / "rows.csv"
        path.write_text("id,s\n" + "".join(f"{first + number},a\n" for number in range(rows)), encoding="utf-8")
        await database.load(LoadRequest(table="P", path=str(path), format="csv", ignore_errors=ignore_errors))


async def load_that_kills(database: Database, first: int) -> str:
    """The code of the error."""
    codes = []

    async def attempt() -> None:
        with pytest.raises(NodeError) as caught:
            await load(database, first)
        codes.append(caught.value.code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(attempt)
        while not codes:
            await trio.lowlevel.checkpoint()
            worker = database.floor.presence.worker
            if worker is not None and worker.executing:
                worker.process.kill()
    return str(codes[0])


async def test_a_file_that_has_killed_twice_is_refused_and_the_others_of_its_table_are_not(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        for _ in range(2):
            assert await load_that_kills(database, 100_000) == "database_restarting"
        with pytest.raises(NodeError) as caught:
            await load(database, 100_000)
        assert (caught.value.code, caught.value.committed) == ("statement_quarantined", False)
        assert caught.value.retry_after
        # As long, and of the same kind.
        await load(database, 200_000)
        await load(database, 1, rows=3)
        # The engine reads it another way: perhaps that goes well.
        await load(database, 100_000, ignore_errors=True)
        assert await ask(database, "MATCH (p:P) RETURN count(*) AS n") == [{"n": 2 * ROWS + 3}]


async def test_files_that_kill_one_after_another_shut_out_themselves_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        for first in (100_000, 200_000):
            await load_that_kills(database, first)
        await load(database, 300_000)
        # Each has killed once, which may have been chance.
        await load(database, 100_000)
        assert await ask(database, "MATCH (p:P) RETURN count(*) AS n") == [{"n": 2 * ROWS}]
