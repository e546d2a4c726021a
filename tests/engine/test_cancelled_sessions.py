"""Orders of sessions, cancelled at every step: nothing stays taken, no lane keeps a transaction, outcomes are known."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio

from kuzu_node.engine import several
from kuzu_node.engine.database import Database
from kuzu_node.engine.sessions import Session
from kuzu_node.engine.values import Form, Query
from tests.engine.cancelling import cancel_at
from tests.engine.nodes import LONG, ask, create, opened, whole, worker_of
from tests.engine.telling import assert_all_is_back, tell

pytestmark = pytest.mark.trio

MOST = 200
IDS = "MATCH (p:P) RETURN p.id AS id ORDER BY id"


async def assert_kept(database: Database, ids: set[int]) -> None:
    """These rows and no others, also in a worker that has only what is durable."""
    worker_of(database).process.kill()
    assert {row["id"] for row in await ask(database, IDS)} == ids


@pytest.mark.parametrize("text_index", [False, True])
@pytest.mark.parametrize("read_only", [False, True])
async def test_a_begin_that_is_cancelled_leaves_no_transaction_anywhere(
    tmp_path: Path, read_only: bool, text_index: bool
) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        written = {0}
        await ask(database, "CREATE (:P {id: 0, s: 'word'})")
        if text_index:
            await ask(database, "CALL CREATE_FTS_INDEX('P', 'i', ['s'])")
        for step in range(1, MOST):
            async with database.session() as session:
                ended = await cancel_at(partial(session.begin, read_only=read_only), step)
                assert session.in_transaction is ended, step
                if not ended:
                    assert_all_is_back(database, step)
                    # In the lane that the transaction would have had.
                    await ask(database, f"CREATE (:P {{id: {step}}})")
                    written.add(step)
            assert_all_is_back(database, step)
            if ended:
                break
        assert ended
        await assert_kept(database, written)


async def test_a_query_that_is_cancelled_ends_its_transaction(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        for step in range(1, MOST):
            async with database.session() as session:
                await session.begin(read_only=False)
                await tell(session, "CREATE (:P {id: 1})")
                query = Query(cypher=f"CREATE (:P {{id: 2}}) WITH 1 AS one {LONG.format(20_000)}")
                ended = await cancel_at(partial(_read, session, query), step)
                assert query.committed is False
                assert session.in_transaction
                if ended:
                    break
                assert_all_is_back(database, step)
                await session.rollback()
                assert await tell(session, "MATCH (p:P) RETURN p.id") == [], step
        assert ended
        assert_all_is_back(database, "end")
        await assert_kept(database, set())


async def _read(session: Session, query: Query) -> None:
    async with session.query(query) as answer:
        await whole(answer)


@pytest.mark.parametrize(
    "text", ["CREATE (:P {{id: {}}})", "CREATE (p:P {{id: -{0}}}) DETACH DELETE p CREATE (:P {{id: {0}}})"]
)
async def test_a_commit_is_not_cancelled_half_way(tmp_path: Path, text: str) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        written: set[int] = set()
        for step in range(1, 40):
            async with database.session() as session:
                await session.begin(read_only=False)
                await tell(session, text.format(step))
                await cancel_at(session.commit, step)
                assert not session.in_transaction
                written.add(step)
            assert_all_is_back(database, step)
        await assert_kept(database, written)


@pytest.mark.parametrize("end", ["rollback", "close", "abort"])
async def test_a_rollback_is_not_cancelled_half_way(tmp_path: Path, end: str) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        for step in range(1, 20):
            async with database.session() as session:
                await session.begin(read_only=False)
                await tell(session, f"CREATE (:P {{id: {step}}})")
                await cancel_at(getattr(session, end), step)
                assert_all_is_back(database, step)
                await ask(database, f"CREATE (:P {{id: {step}}})")
        await assert_kept(database, set(range(1, 20)))


async def test_a_session_with_projected_graphs_leaves_its_lane_wherever_it_is_cancelled(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_MAX_CONNECTIONS_PER_DB="1") as node:
        database = await create(node)

        async def converse() -> None:
            async with database.session() as session:
                await tell(session, "CALL project_graph('G', ['P'], ['K'])")
                await session.begin(read_only=True)
                await tell(session, "CALL show_projected_graphs() RETURN name")
                await session.rollback()

        for step in range(1, MOST):
            ended = await cancel_at(converse, step)
            assert_all_is_back(database, step)
            assert await ask(database, "CALL show_projected_graphs() RETURN name") == [], step
            if ended:
                break
        assert ended
        # As many lanes as ever may be kept, and others beside them.
        lanes = worker_of(database).lanes
        assert [lanes.keep() for _ in range(3)] == [True, True, False]


async def test_a_whole_transaction_is_there_or_not_wherever_it_is_cancelled(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        done: set[int] = set()
        for step in range(1, MOST):
            outcome: list[str] = []

            async def converse(number: int = step, outcome: list[str] = outcome) -> None:
                async with database.session() as session:
                    await session.begin(read_only=False)
                    await tell(session, f"CREATE (:P {{id: {number}}})")
                    await tell(session, f"CREATE (:P {{id: {-number}}})")
                    await session.commit()
                    outcome.append("committed")

            ended = await cancel_at(converse, step)
            assert_all_is_back(database, step)
            if outcome:
                done |= {step, -step}
            if ended:
                break
        assert ended
        await assert_kept(database, done)


async def test_reads_that_are_run_together_leave_nothing_wherever_they_are_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(several, "BUDGET_MS", 10_000.0)
    async with opened(tmp_path, KUZU_MAX_CONNECTIONS_PER_DB="1") as node:
        database = await create(node)
        await ask(database, "RETURN 1")
        queries = [Query(cypher=f"RETURN {number}", form=Form.SESSION) for number in range(40)]
        async with database.session() as session:

            async def read() -> None:
                async with session.query_several(queries) as groups:
                    async for _ in groups:
                        await trio.lowlevel.checkpoint()

            for step in range(1, MOST):
                ended = await cancel_at(read, step)
                assert_all_is_back(database, step)
                assert not worker_of(database).executing, step
                if ended:
                    break
            assert ended
        assert database.info().restarts == 0
