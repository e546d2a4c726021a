"""Sessions: transactions that last, what ends them, and lanes that keep a projected graph."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from kuzu_node.core.frames import Frame
from kuzu_node.core.messages import Failed, Renew, Run
from kuzu_node.engine import sessions as sessions_module
from kuzu_node.engine.lanes import Lane, LaneFailed
from kuzu_node.engine.values import Query
from kuzu_node.errors import NodeError, Unavailable
from tests.engine.nodes import ENDLESS, LONG, NOTHING, ask, create, failure, held, opened, worker_of
from tests.engine.telling import refusal, tell

pytestmark = pytest.mark.trio

COUNT = "MATCH (p:P) RETURN count(*) AS n"


async def test_a_transaction_is_seen_by_others_at_its_commit_and_survives_a_kill(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        async with database.session() as session:
            await session.begin(read_only=False)
            assert held(database).writer
            await tell(session, "CREATE (:P {id: $id})", id=1)
            await tell(session, "CREATE (:P {id: 2}); CREATE (:P {id: 3})")
            assert await tell(session, COUNT) == [{"n": 3}]
            assert await ask(database, COUNT) == [{"n": 0}]
            await session.commit()
            assert not session.in_transaction
            assert await ask(database, COUNT) == [{"n": 3}]
        assert held(database) == NOTHING
        worker_of(database).process.kill()
        assert await ask(database, COUNT) == [{"n": 3}]


async def test_a_rollback_and_the_end_of_the_session_leave_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        async with database.session() as session:
            await session.begin(read_only=False)
            await tell(session, "CREATE (:P {id: 1})")
            await session.rollback()
            assert held(database) == NOTHING
            await session.begin(read_only=False)
            await tell(session, "CREATE (:P {id: 1})")
        assert held(database) == NOTHING
        assert await ask(database, COUNT) == [{"n": 0}]


async def test_after_an_error_nothing_reaches_the_engine_until_the_rollback(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        async with database.session() as session:
            await session.begin(read_only=False)
            await tell(session, "CREATE (:P {id: 1})")
            assert (await refusal(session, "CREATE (:P {id: 1})")).code == "constraint"
            assert held(database) == NOTHING
            for _ in range(2):
                assert (await refusal(session, "CREATE (:P {id: 2})")).code == "transaction_aborted"
            with pytest.raises(NodeError) as caught:
                await session.commit()
            assert caught.value.code == "transaction_aborted"
            assert session.in_transaction
            await session.rollback()
            assert await tell(session, "CREATE (:P {id: 2})") == []
        assert await ask(database, "MATCH (p:P) RETURN p.id AS id") == [{"id": 2}]


async def test_what_cannot_be_in_a_transaction_ends_it_with_a_reason(tmp_path: Path) -> None:
    texts = {
        "CREATE NODE TABLE Q AS MATCH (p:P) RETURN p.id": "bad_request",
        "COPY P FROM (MATCH (p:P) RETURN p.id + 10, p.s)": "bad_request",
        "ALTER TABLE P DROP s": "bad_request",
        "COMMIT": "forbidden_statement",
        "CALL project_graph('g', ['P'], ['K'])": "forbidden_statement",
        "MATCH (": "syntax",
    }
    async with opened(tmp_path) as node:
        database = await create(node)
        async with database.session() as session:
            for text, code in texts.items():
                await session.begin(read_only=False)
                assert (await refusal(session, text)).code == code
                assert held(database) == NOTHING
                await session.rollback()
            await session.begin(read_only=True)
            assert (await refusal(session, "CREATE (:P {id: 1})")).code == "read_only"


async def test_only_so_many_transactions_are_open_and_one_writes(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_MAX_CONNECTIONS_PER_DB="3", KUZU_QUEUE_TIMEOUT="0.2") as node:
        database = await create(node)
        async with database.session() as one, database.session() as two, database.session() as three:
            await one.begin(read_only=False)
            with pytest.raises(Unavailable) as caught:
                await two.begin(read_only=False)
            assert caught.value.code == "pool_exhausted"
            await two.begin(read_only=True)
            with pytest.raises(Unavailable) as caught:
                await three.begin(read_only=True)
            assert caught.value.code == "pool_exhausted"
            assert await ask(database, COUNT) == [{"n": 0}]
            assert (await failure(database, "CREATE (:P {id: 1})")).code == "pool_exhausted"
            await one.rollback()
            await ask(database, "CREATE (:P {id: 1})")
            # Its view is that of its beginning.
            assert await tell(two, COUNT) == [{"n": 0}]
        assert held(database) == NOTHING


async def test_a_cancelled_order_aborts_the_transaction_and_frees_everything(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        async with database.session() as session:
            await session.begin(read_only=False)
            await tell(session, "CREATE (:P {id: 1})")
            with trio.move_on_after(0.2) as scope:
                await tell(session, ENDLESS)
            assert scope.cancelled_caught
            assert held(database) == NOTHING
            assert (await refusal(session, COUNT)).code == "transaction_aborted"
            await session.rollback()
            assert await tell(session, COUNT) == [{"n": 0}]


async def test_rows_left_unread_do_not_disturb_the_next_order(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        async with database.session() as session:
            await session.begin(read_only=True)
            async with session.query(Query(cypher=LONG.format(200_000))) as answer, answer.delivery() as pieces:
                await anext(pieces)
            assert await tell(session, "RETURN 1 AS one") == [{"one": 1}]
            assert len(await tell(session, LONG.format(30_000))) == 30_000
            await session.commit()
        assert held(database) == NOTHING


async def test_an_idle_transaction_and_one_that_lasts_too_long_are_ended(tmp_path: Path) -> None:
    async with opened(
        tmp_path, KUZU_TRANSACTION_IDLE_TIMEOUT="0.2", KUZU_TRANSACTION_MAX_SECONDS="0.6", KUZU_QUERY_TIMEOUT="30"
    ) as node:
        database = await create(node)
        async with database.session() as session:
            await session.begin(read_only=False)
            await tell(session, "CREATE (:P {id: 1})")
            while held(database) != NOTHING:
                await trio.lowlevel.checkpoint()
            told = await refusal(session, COUNT)
            assert told.code == "transaction_preempted"
            assert "no message came for 0.2 s" in told.detail
            assert (await refusal(session, COUNT)).code == "transaction_aborted"
            await session.rollback()
            await session.begin(read_only=False)
            told = await refusal(session, ENDLESS)
            assert told.code == "transaction_preempted"
            assert "0.6 s" in told.detail
            assert held(database) == NOTHING
        assert await ask(database, COUNT) == [{"n": 0}]


async def test_messages_keep_a_transaction_from_being_idle(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_TRANSACTION_IDLE_TIMEOUT="0.3") as node:
        database = await create(node)
        async with database.session() as session:
            await session.begin(read_only=False)
            began = trio.current_time()
            while trio.current_time() < began + 0.7:
                session.touch()
                await trio.lowlevel.checkpoint()
            await session.commit()


async def test_an_idle_transaction_gives_way_to_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_module, "GIVES_WAY_AFTER", 0.1)
    async with opened(tmp_path) as node:
        database = await create(node)
        for read_only in (True, False):
            async with database.session() as session:
                await session.begin(read_only=read_only)
                assert await tell(session, COUNT) == [{"n": 0}]
                await ask(database, f"CREATE NODE TABLE Q{int(read_only)} AS MATCH (p:P) RETURN p.id")
                assert (await refusal(session, COUNT)).code == "transaction_preempted"
        assert held(database) == NOTHING


async def test_the_end_of_the_worker_ends_the_transaction_and_lets_others_write(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        async with database.session() as session:
            await session.begin(read_only=False)
            await tell(session, "CREATE (:P {id: 1})")
            worker_of(database).process.kill()
            await ask(database, "CREATE (:P {id: 2})")
            assert (await refusal(session, COUNT)).code == "transaction_preempted"
            await session.rollback()
            assert await tell(session, "MATCH (p:P) RETURN p.id AS id") == [{"id": 2}]
            await session.begin(read_only=False)
            await tell(session, "CREATE (:P {id: 3})")


async def test_a_database_closes_under_an_open_transaction(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        async with database.session() as session:
            await session.begin(read_only=False)
            await tell(session, "CREATE (:P {id: 1})")
            with trio.fail_after(20):
                await node.databases.delete("g")
            assert (await refusal(session, COUNT)).code == "transaction_preempted"


async def test_what_the_log_would_replay_wrongly_is_checkpointed_at_the_commit(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        await ask(database, "UNWIND range(1, 20) AS i CREATE (:P {id: i})")
        await ask(database, "MATCH (a:P), (b:P) WHERE a.id < b.id CREATE (a)-[:K]->(b)")
        async with database.session() as session:
            await session.begin(read_only=False)
            await tell(session, "MATCH (p:P) WHERE p.id = 3 OR p.id = 4 DETACH DELETE p")
            await tell(session, "CREATE (:P {id: 99})")
            await session.commit()
        wanted = await ask(database, "MATCH (a:P)-[k:K]->(b:P) RETURN count(k) AS n")
        assert wanted == [{"n": 18 * 17 // 2}]
        worker_of(database).process.kill()
        assert await ask(database, "MATCH (a:P)-[k:K]->(b:P) RETURN count(k) AS n") == wanted
        assert await ask(database, "MATCH (p:P {id: 99}) RETURN p.id AS id") == [{"id": 99}]


async def test_a_projected_graph_lives_as_long_as_its_session(tmp_path: Path) -> None:
    project, show = "CALL project_graph('G', ['P'], ['K'])", "CALL show_projected_graphs() RETURN name"
    async with opened(tmp_path) as node:
        database = await create(node)
        assert (await failure(database, project)).code == "forbidden_statement"
        async with database.session() as session, database.session() as other:
            await tell(session, project)
            assert await tell(session, show) == [{"name": "G"}]
            assert await tell(other, show) == []
            for number in range(300):
                await tell(session, "CREATE (:P {id: $id, s: $s})", id=number, s="x")
            assert await tell(session, show) == [{"name": "G"}]
            await session.begin(read_only=True)
            assert await tell(session, show) == [{"name": "G"}]
            await session.commit()
            assert worker_of(database).lanes.lent == 1
        assert held(database) == NOTHING
        for _ in range(4):
            assert await ask(database, show) == []


async def test_a_session_whose_projected_graph_is_gone_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        async with database.session() as session:
            await tell(session, "CALL project_graph('G', ['P'], ['K'])")
            worker_of(database).process.kill()
            await session.lost.wait()
            assert (await refusal(session, COUNT)).code == "database_restarting"
        assert await ask(database, COUNT) == [{"n": 0}]
        assert held(database) == NOTHING


async def test_a_lane_that_gets_no_fresh_connection_is_lent_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = Lane.run

    async def run(lane: Lane, request_id: int, order: Run) -> Frame:
        if isinstance(order, Renew):
            raise LaneFailed(Failed("memory_exceeded", "no memory for a fresh Connection", False))
        return await really(lane, request_id, order)

    monkeypatch.setattr(Lane, "run", run)
    project, show = "CALL project_graph('G', ['P'], ['K'])", "CALL show_projected_graphs() RETURN name"
    async with opened(tmp_path, KUZU_MAX_CONNECTIONS_PER_DB="1") as node:
        database = await create(node)
        for _ in range(4):
            async with database.session() as session:
                await tell(session, project)
            # Others have as many lanes as before, and none of them knows the graph.
            for _ in range(4):
                assert await ask(database, show) == []


async def test_at_most_half_of_the_lanes_are_kept(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_MAX_CONNECTIONS_PER_DB="1") as node:
        database = await create(node)
        async with database.session() as one, database.session() as two, database.session() as three:
            for session in (one, two):
                await tell(session, "CALL project_graph('G', ['P'], ['K'])")
            assert (await refusal(three, "CALL project_graph('G', ['P'], ['K'])")).code == "pool_exhausted"
            assert await ask(database, COUNT) == [{"n": 0}]
        assert held(database) == NOTHING


async def test_two_sessions_that_write_contend_and_lose_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_QUEUE_TIMEOUT="30") as node:
        database = await create(node)

        async def write(first: int) -> None:
            async with database.session() as session:
                for number in range(first, first + 40):
                    await session.begin(read_only=False)
                    await tell(session, "CREATE (:P {id: $id})", id=number)
                    await session.commit()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, 0)
            nursery.start_soon(write, 1000)
            await wait_all_tasks_blocked()
        assert await ask(database, COUNT) == [{"n": 80}]
        assert held(database) == NOTHING
