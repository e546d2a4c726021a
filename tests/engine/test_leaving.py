"""Readers who leave a result half-read, and what that costs those who stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from kuzu_node.engine.values import Form, Query
from tests.engine.nodes import LONG, NOTHING, ask, create, held, opened, worker_of

pytestmark = pytest.mark.trio


async def test_rows_that_are_made_in_one_long_step_do_not_end_the_worker(tmp_path: Path) -> None:
    # The rest of the rows is turned into a table at once, which takes a multiple of this grace.
    async with opened(tmp_path, KUZU_KILL_GRACE="0.01") as node:
        database = await create(node)
        await ask(database, "RETURN 1 AS one")
        worker = worker_of(database)
        for _ in range(3):
            query = Query(cypher=LONG.format(1_000_000), form=Form.NDJSON)
            async with database.query(query) as answer, answer.delivery() as pieces:
                await pieces.__anext__()
            assert held(database) == NOTHING
        assert worker_of(database) is worker
        assert await ask(database, "RETURN 1 AS one") == [{"one": 1}]
