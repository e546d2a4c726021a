"""Statements whose checkpoint is refused for a value that the engine cannot store: told so, and undone."""

from __future__ import annotations

from pathlib import Path

import pytest

from kuzu_node.core.messages import Failed
from kuzu_node.engine.database import Database
from kuzu_node.engine.translate import statement_error
from kuzu_node.engine.values import Query, State
from kuzu_node.errors import NodeError
from kuzu_node.http.errors import STATUS
from kuzu_node.node import Node
from kuzu_node.worker import failures
from tests.engine.nodes import LONG, ask, create, failure, opened, whole, worker_of
from tests.engine.telling import assert_all_is_back, tell

TABLE = "CREATE NODE TABLE U(id INT64, PRIMARY KEY(id)); CREATE NODE TABLE P(id INT64, s STRING, PRIMARY KEY(id))"


async def with_a_list_that_would_be_lost(node: Node) -> Database:
    database = await create(node, ddl=TABLE)
    await ask(database, "CREATE (:U {id: 1}), (:U {id: 2}), (:P {id: 9})")
    await database.checkpoints.run(worker_of(database))
    await ask(database, "ALTER TABLE U ADD v INT64[][]")
    await ask(database, "MATCH (u:U {id: 1}) SET u.v = [[7]]")
    return database


def test_every_code_of_the_worker_has_an_answer() -> None:
    codes = {code for _, code in failures._CODES} | {"runtime", "too_large", "bulk_needed"}
    for code in codes - {"bulk_needed"}:
        assert statement_error(Failed(code, "detail", False)).code in STATUS


@pytest.mark.trio
@pytest.mark.parametrize("text", ["MATCH (p:P {id: 9}) DETACH DELETE p", "ALTER TABLE P DROP s"])
async def test_a_statement_that_needs_a_checkpoint_says_what_stands_in_its_way(tmp_path: Path, text: str) -> None:
    async with opened(tmp_path) as node:
        database = await with_a_list_that_would_be_lost(node)
        told = await failure(database, text)
        assert (told.code, told.committed) == ("constraint", False)
        assert "U.v beside stored rows" in told.detail
        assert_all_is_back(database, text)
        assert await ask(database, "MATCH (p:P) RETURN p.id AS id, p.s AS s") == [{"id": 9, "s": None}]
        assert database.info().state is State.READY


@pytest.mark.trio
async def test_a_session_is_told_what_stands_in_the_way_of_its_commit(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await with_a_list_that_would_be_lost(node)
        async with database.session() as session:
            await session.begin(read_only=False)
            await tell(session, "CREATE (:U {id: 3}) WITH 1 AS one MATCH (p:P {id: 9}) DETACH DELETE p")
            with pytest.raises(NodeError) as caught:
                await session.commit()
            assert (caught.value.code in STATUS, caught.value.committed) == (True, False)
        assert_all_is_back(database, "commit")
        assert await ask(database, "MATCH (u:U) RETURN count(*) AS n") == [{"n": 2}]


@pytest.mark.trio
async def test_a_load_that_the_engine_would_lose_costs_no_reader(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_STREAM_STALL_TIMEOUT="60") as node:
        database = await create(node, ddl="CREATE NODE TABLE L(id INT64, PRIMARY KEY(id))")
        await ask(database, "CREATE (:L {id: 1})")
        await database.checkpoints.run(worker_of(database))
        await ask(database, "ALTER TABLE L ADD v INT64[][]")
        async with database.query(Query(cypher=LONG.format(300_000))) as answer:
            worker = worker_of(database)
            told = await failure(database, "COPY L FROM (UNWIND [2] AS x RETURN x, [[x]])")
            assert (told.code, told.committed) == ("constraint", False)
            assert "is taken out" in told.detail
            assert worker.process.alive
            assert not database.folder.marker.exists()
            await ask(database, "CREATE (:L {id: 3})")
            assert len(await whole(answer)) > 300_000
        await database.supervisor.farewells.wait_over()
        assert_all_is_back(database, "end")
        assert await ask(database, "MATCH (l:L) RETURN l.id AS id") == [{"id": 1}, {"id": 3}]
