"""Transactions of sessions that something else ends: what they held is free, and who asks next is told the truth."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from kuzu_node.engine import bulk, files, held, sessions
from kuzu_node.engine.database import Database
from kuzu_node.engine.gate import HOLD_BACK
from kuzu_node.engine.quarantine import DEATHS, UNSUSPECTED
from kuzu_node.engine.sessions import Session
from kuzu_node.engine.values import Query
from kuzu_node.errors import NodeError
from tests.engine.nodes import ENDLESS, LONG, ask, create, opened, until_changed, whole, worker_of
from tests.engine.telling import assert_all_is_back, refusal, tell

pytestmark = pytest.mark.trio

COUNT = "MATCH (p:P) RETURN count(*) AS n"
# The log would give it back as something else.
DETACH = "CREATE (p:P {id: -1}) DETACH DELETE p"


@asynccontextmanager
async def writing(database: Database, *texts: str) -> AsyncIterator[Session]:
    """A session with an open transaction that may write."""
    async with database.session() as session:
        await session.begin(read_only=False)
        for text in texts:
            await tell(session, text)
        yield session


async def commit_error(session: Session) -> NodeError:
    with pytest.raises(NodeError) as caught:
        await session.commit()
    return caught.value


async def test_a_commit_without_room_on_the_disk_leaves_no_transaction_in_the_lane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> bool:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with opened(tmp_path) as node:
        database = await create(node)
        async with writing(database, DETACH, "CREATE (:P {id: 1})") as session:
            with monkeypatch.context() as patch:
                patch.setattr(files, "copy", full)
                told = await commit_error(session)
            assert (told.code, told.committed, session.in_transaction) == ("disk_full", False, False)
        assert_all_is_back(database, "commit")
        await ask(database, "CREATE (:P {id: 2})")
        worker_of(database).process.kill()
        assert await ask(database, "MATCH (p:P) RETURN p.id AS id") == [{"id": 2}]


async def test_a_commit_that_needs_a_checkpoint_has_idle_readers_give_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "GIVES_WAY_AFTER", 0.1)
    async with opened(tmp_path) as node:
        database = await create(node)
        async with database.session() as reader, writing(database, DETACH, "CREATE (:P {id: 1})") as session:
            await reader.begin(read_only=True)
            with trio.fail_after(20):
                await session.commit()
            assert (await refusal(reader, COUNT)).code == "transaction_preempted"
        assert_all_is_back(database, "end")
        assert await ask(database, COUNT) == [{"n": 1}]


async def test_a_commit_that_never_gets_its_checkpoint_is_rolled_back(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_QUERY_TIMEOUT="2", KUZU_STREAM_STALL_TIMEOUT="60") as node:
        database = await create(node)
        async with database.session() as reader, writing(database, DETACH, "CREATE (:P {id: 1})") as session:
            await reader.begin(read_only=True)
            async with reader.query(Query(cypher=LONG.format(300_000))) as unread:
                told = await commit_error(session)
                assert (told.code, told.committed, session.in_transaction) == ("pool_exhausted", False, False)
                await whole(unread)
            assert await tell(reader, COUNT) == [{"n": 0}]
        assert_all_is_back(database, "end")
        assert await ask(database, COUNT) == [{"n": 0}]
        async with writing(database, DETACH, "CREATE (:P {id: 1})") as session:
            await session.commit()


async def test_a_begin_does_not_wait_longer_than_the_queue_for_a_checkpoint(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_QUEUE_TIMEOUT="0.3") as node, trio.open_nursery() as nursery:
        database = await create(node)
        async with database.session() as reader, database.session() as session:
            await reader.begin(read_only=True)
            # As when the pool is nearly full: nobody is let in before the checkpoint.
            nursery.start_soon(_checkpoint_at_last, database)
            while not database.floor.locks.gate.closed:
                await trio.lowlevel.checkpoint()
            with pytest.raises(NodeError) as caught, trio.fail_after(10):
                await session.begin(read_only=True)
            assert caught.value.code == "pool_exhausted"
            await reader.rollback()
        await ask(database, "CREATE (:P {id: 1})")


async def _checkpoint_at_last(database: Database) -> None:
    await database.checkpoints.run(worker_of(database), patience=float("inf"))


async def test_a_begin_with_a_text_index_does_not_wait_longer_than_the_queue_for_readers(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_QUEUE_TIMEOUT=str(HOLD_BACK + 0.5)) as node:
        database = await create(node)
        await ask(database, "CREATE (:P {id: 1, s: 'word'})")
        await ask(database, "CALL CREATE_FTS_INDEX('P', 'i', ['s'])")
        await ask(database, "CREATE (:P {id: 2, s: 'word'})")
        assert worker_of(database).text_indexed
        async with database.session() as reader, database.session() as session:
            await reader.begin(read_only=True)
            with pytest.raises(NodeError) as caught, trio.fail_after(10):
                await session.begin(read_only=False)
            assert caught.value.code == "pool_exhausted"
            await reader.rollback()
            assert_all_is_back(database, "begin")
            await session.begin(read_only=False)


async def test_transactions_are_begun_and_ended_whatever_has_killed_the_worker(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        async with writing(database, "CREATE (:P {id: 1})") as session:
            for _ in range(DEATHS):
                database.floor.quarantine.died({UNSUSPECTED}, trio.current_time())
            await session.commit()
        async with writing(database, "CREATE (:P {id: 2})") as session:
            await session.rollback()
            await tell(session, "CREATE (:P {id: 3})")
        assert await ask(database, "MATCH (p:P) RETURN p.id AS id") == [{"id": 1}, {"id": 3}]


async def test_an_order_that_ends_as_it_is_interrupted_is_the_last_of_its_transaction(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        async with writing(database) as session:
            transaction = session._transaction
            assert transaction is not None
            async with session.query(Query(cypher="CREATE (:P {id: 1})")):
                # There is no checkpoint any more at which it might notice.
                await session._preempt(transaction, "its time is up")
            assert_all_is_back(database, "preempted")
            assert (await refusal(session, COUNT)).code == "transaction_preempted"
            assert (await refusal(session, COUNT)).code == "transaction_aborted"
            await session.rollback()
            assert await tell(session, COUNT) == [{"n": 0}]


async def test_who_rolls_back_a_transaction_that_is_being_ended_waits_for_its_lane(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_TRANSACTION_IDLE_TIMEOUT="0.3") as node:
        database = await create(node)
        async with database.session() as session:
            await tell(session, "CALL project_graph('G', ['P'], ['K'])")
            worker = worker_of(database)
            for number in range(5):
                await session.begin(read_only=False)
                await tell(session, f"UNWIND range(1, 50000) AS x CREATE (:P {{id: x + {number}}})")
                # The watch has begun to end it, in the lane that the session has kept.
                while session._transaction is not None:
                    await trio.lowlevel.checkpoint()
                assert await session.rollback() == 0
                assert await tell(session, "CALL show_projected_graphs() RETURN name") == [{"name": "G"}]
            assert worker_of(database) is worker
        assert_all_is_back(database, "end")


async def test_a_session_closes_while_its_transaction_is_being_ended(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_TRANSACTION_IDLE_TIMEOUT="0.3", KUZU_MAX_CONNECTIONS_PER_DB="1") as node:
        database = await create(node)
        lanes = 0
        for _ in range(4):
            async with database.session() as session:
                await tell(session, "CALL project_graph('G', ['P'], ['K'])")
                await session.begin(read_only=False)
                await tell(session, "UNWIND range(1, 50000) AS x CREATE (:P {id: x})")
                while session._transaction is not None:
                    await trio.lowlevel.checkpoint()
            assert_all_is_back(database, "close")
            made = len(worker_of(database).lanes.numbers())
            assert lanes in {0, made}
            lanes = made


async def test_deletion_waits_for_the_order_that_runs(tmp_path: Path) -> None:
    async with opened(tmp_path) as node, trio.open_nursery() as nursery:
        database = await create(node)
        async with writing(database) as session:
            async with session.query(Query(cypher=LONG.format(300_000))) as answer:
                nursery.start_soon(node.databases.delete, "g")
                await until_changed(database, lambda: database.floor.presence.leaving)
                assert len(await whole(answer)) > 300_000
            assert (await refusal(session, COUNT)).code == "transaction_preempted"
        with trio.fail_after(5):
            await database.supervisor.closed.wait()


async def test_an_order_whose_worker_dies_is_told_of_that(tmp_path: Path) -> None:
    async with opened(tmp_path) as node, trio.open_nursery() as nursery:
        database = await create(node)
        async with writing(database, "CREATE (:P {id: 1})") as session:
            worker = worker_of(database)

            async def kill() -> None:
                while not worker.executing:
                    await trio.lowlevel.checkpoint()
                worker.process.kill()

            nursery.start_soon(kill)
            assert (await refusal(session, ENDLESS)).code == "database_restarting"
            assert (await refusal(session, COUNT)).code == "transaction_aborted"
            await session.rollback()
            assert await tell(session, COUNT) == [{"n": 0}]
        assert_all_is_back(database, "end")


async def test_errors_leave_a_session_as_they_are(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        with pytest.raises(NodeError):
            async with writing(database) as session:
                await tell(session, "MATCH (")
        assert_all_is_back(database, "end")


async def test_a_rollback_that_does_not_come_back_ends_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "ROLLBACK_SECONDS", 0.0)
    async with opened(tmp_path) as node:
        database = await create(node)
        worker = worker_of(database)
        async with writing(database, "CREATE (:P {id: 1})") as session:
            await session.rollback()
            assert worker.process.doomed
            assert await ask(database, COUNT) == [{"n": 0}]
        assert_all_is_back(database, "end")


async def test_a_commit_that_does_not_come_back_says_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "COMMIT_SECONDS", 0.0)
    async with opened(tmp_path) as node:
        database = await create(node)
        async with writing(database, "CREATE (:P {id: 1})") as session:
            # It was done in time to be known.
            await session.commit()
        assert await ask(database, COUNT) == [{"n": 1}]


async def test_a_long_bulk_statement_has_nobody_give_way_before_it_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "GIVES_WAY_AFTER", 0.0)
    reached = trio.Event()
    perform = bulk.BulkStatements._perform

    async def slowly(self: bulk.BulkStatements, *arguments: object) -> object:
        reached.set()
        await let_go.wait()
        return await perform(self, *arguments)  # type: ignore[arg-type]

    let_go = trio.Event()
    monkeypatch.setattr(bulk.BulkStatements, "_perform", slowly)
    async with opened(tmp_path) as node, trio.open_nursery() as nursery:
        database = await create(node)
        async with database.session() as reader:
            await reader.begin(read_only=True)
            nursery.start_soon(ask, database, "COPY P FROM (UNWIND range(1, 100) AS x RETURN x, 'a')")
            await reached.wait()
            await wait_all_tasks_blocked(0.1)
            assert await tell(reader, COUNT) == [{"n": 0}]
            let_go.set()
            while reader._transaction is not None:
                await trio.lowlevel.checkpoint()
            assert (await refusal(reader, COUNT)).code == "transaction_preempted"


async def test_a_reading_transaction_outlives_its_worker_s_place(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_QUEUE_TIMEOUT="20") as node:
        database = await create(node)
        async with database.session() as reader, database.session() as writer:
            await reader.begin(read_only=True)
            assert await tell(reader, COUNT) == [{"n": 0}]
            worker = worker_of(database)
            with pytest.raises(NodeError):
                await ask(database, "COPY P FROM (UNWIND [1, 1] AS x RETURN x, 'a')")
            await writer.begin(read_only=False)
            await tell(writer, "CREATE (:P {id: 1})")
            assert database.floor.presence.seen_off == [worker]
            await writer.commit()
            # The next worker's checkpoints do not wait for who reads in the one before.
            await database.checkpoints.run(worker_of(database))
            assert await tell(reader, COUNT) == [{"n": 0}]
            await reader.commit()
            await database.supervisor.farewells.wait_over()
            assert worker.process.doomed
            assert await tell(reader, COUNT) == [{"n": 1}]
        assert_all_is_back(database, "end")


async def test_projected_graphs_of_a_worker_that_was_seen_off_are_lost(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_QUEUE_TIMEOUT="20") as node:
        database = await create(node)
        async with database.session() as session:
            await tell(session, "CALL project_graph('G', ['P'], ['K'])")
            worker = worker_of(database)
            with pytest.raises(NodeError):
                await ask(database, "COPY P FROM (UNWIND [1, 1] AS x RETURN x, 'a')")
            await ask(database, "CREATE (:P {id: 1})")
            await session.lost.wait()
            assert (await refusal(session, COUNT)).code == "database_restarting"
            assert worker.process.alive
        await database.supervisor.farewells.wait_over()
        assert worker.process.doomed
        assert_all_is_back(database, "end")
