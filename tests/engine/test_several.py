"""Short reads of a session that are run by one order: what is answered, what is left to be run alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from kuzu_node.core import messages
from kuzu_node.core.frames import FrameError
from kuzu_node.core.messages import Done
from kuzu_node.engine import several
from kuzu_node.engine.quarantine import TOGETHER
from kuzu_node.engine.sessions import Session
from kuzu_node.engine.statements import SCREEN_IN_THREAD
from kuzu_node.engine.values import Form, Query
from kuzu_node.errors import NodeError
from tests.engine.nodes import ENDLESS, NOTHING, ask, create, failure, held, opened, worker_of
from tests.engine.telling import assert_all_is_back, tell

DEADLY = "RETURN json_structure(concat(repeat('[', 100000), repeat(']', 100000)))"
MANY = "UNWIND range(1, 5000) AS x RETURN x"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a short read may take long."""
    monkeypatch.setattr(several, "LONGEST_MS", 500)
    monkeypatch.setattr(several, "BUDGET_MS", 10_000.0)


def queries(*texts: str) -> list[Query]:
    return [Query(cypher=text, form=Form.SESSION) for text in texts]


async def answered(session: Session, *texts: str) -> list[object]:
    found: list[object] = []
    async with session.query_several(queries(*texts)) as groups:
        async for group in groups:
            for answer in group:
                assert answer.body is not None
                rows = json.loads(b"[" + answer.body + b"]")
                assert len(rows) == answer.row_count
                found.append(list(rows[0].values()) if rows else [])
    return found


@pytest.mark.trio
async def test_reads_are_answered_in_their_order(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        await ask(database, "CREATE (:P {id: 1, s: 'é'})")
        async with database.session() as session:
            asked = ["RETURN 1 AS a", "MATCH (p:P) RETURN p.s", "MATCH (p:P {id: 7}) RETURN p.id", "RETURN 'x', [2]"]
            assert await answered(session, *asked) == [[1], ["é"], [], ["x", [2]]]
            hundred = [f"RETURN {number}" for number in range(100)]
            assert await answered(session, *hundred) == [[number] for number in range(100)]
        assert_all_is_back(database, "several")


@pytest.mark.parametrize(
    "text",
    [
        "RETURN nothing",
        "RETURN cast('x' AS INT64)",
        MANY,
        ENDLESS,
        "CREATE (:P {id: 5})",
        "RETURN 1; RETURN 2",
        "BEGIN",
        # One row may be longer than a frame.
        "RETURN repeat('x', 300000)",
        # Together with others they would take the loop as long as what is screened in a thread.
        f"RETURN size('{'x' * (SCREEN_IN_THREAD - 20)}')",
    ],
)
@pytest.mark.trio
async def test_what_stands_alone_ends_the_group_and_is_not_done(tmp_path: Path, text: str) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        async with database.session() as session:
            assert await answered(session, "RETURN 1", "RETURN 2", text, "RETURN 3") == [[1], [2]]
            assert await answered(session, text, "RETURN 3", "RETURN 4") == []
            # The lane knows nothing of what was stopped.
            assert await tell(session, "RETURN 5 AS n") == [{"n": 5}]
            assert await tell(session, "MATCH (p:P) RETURN count(*) AS n") == [{"n": 0}]
        assert held(database) == NOTHING


@pytest.mark.trio
async def test_nothing_is_done_together_within_a_transaction_or_beside_projected_graphs(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        async with database.session() as session:
            await session.begin(read_only=True)
            assert await answered(session, "RETURN 1", "RETURN 2") == []
            await session.commit()
            assert await answered(session, "RETURN 1", "RETURN 2") == [[1], [2]]
            project = "CALL project_graph('G', ['P'], ['K'])"
            assert await answered(session, "RETURN 1", "RETURN 2", project, "RETURN 3") == [[1], [2]]
            await tell(session, project)
            assert await answered(session, "RETURN 1", "RETURN 2") == []


@pytest.mark.trio
async def test_a_worker_that_dies_of_one_is_blamed_on_none_until_it_runs_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        async with database.session() as session:
            await tell(session, "RETURN 1")
            with pytest.raises(NodeError) as caught:
                await answered(session, "RETURN 1", DEADLY, "RETURN 2")
            assert (caught.value.code, caught.value.committed) == ("database_restarting", False)
            assert await answered(session, "RETURN 1", "RETURN 2") in ([[1], [2]], [])
            await failure(database, DEADLY)
            assert await tell(session, "RETURN 1 AS n") == [{"n": 1}]
            # From now on it is under suspicion, and nothing goes with it.
            assert await answered(session, "RETURN 1", "RETURN 2", DEADLY) == [[1], [2]]
            assert worker_of(database).process.alive
        assert_all_is_back(database, "deadly")


@pytest.mark.trio
async def test_none_is_begun_when_the_time_for_all_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several, "BUDGET_MS", 0.0)
    async with opened(tmp_path) as node:
        database = await create(node)
        async with database.session() as session:
            assert len(await answered(session, *["RETURN 1"] * 50)) <= 1


@pytest.mark.trio
async def test_one_that_is_given_up_half_way_leaves_the_lane_at_rest(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        async with database.session() as session:
            async with session.query_several(queries(*["RETURN 1"] * 400)) as groups:
                async for _ in groups:
                    break
            assert_all_is_back(database, "left")
            with trio.move_on_after(0.001):
                await answered(session, *["RETURN 1"] * 400)
            assert_all_is_back(database, "cancelled")
            assert await answered(session, "RETURN 1", "RETURN 2") == [[1], [2]]


@pytest.mark.trio
async def test_garbage_in_the_place_of_answers_ends_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def garbled(payload: bytes) -> Sequence[tuple[Done, bytes]]:
        return messages.read_done(payload[:-1])

    async with opened(tmp_path) as node:
        database = await create(node)
        async with database.session() as session:
            await tell(session, "RETURN 1")
            worker = worker_of(database)
            with monkeypatch.context() as patched:
                patched.setattr(several, "read_done", garbled)
                with pytest.raises(NodeError) as caught:
                    await answered(session, "RETURN 1", "RETURN 2")
            assert (caught.value.code, caught.value.committed) == ("database_restarting", False)
            assert not worker.process.alive
            assert await tell(session, "RETURN 1 AS n") == [{"n": 1}]
        assert_all_is_back(database, "garbage")


@pytest.mark.trio
async def test_more_answers_than_were_asked_for_end_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def doubled(payload: bytes) -> Sequence[tuple[Done, bytes]]:
        return messages.read_done(payload) * 2

    async with opened(tmp_path) as node:
        database = await create(node)
        async with database.session() as session:
            await tell(session, "RETURN 1")
            monkeypatch.setattr(several, "read_done", doubled)
            with pytest.raises(NodeError) as caught:
                await answered(session, "RETURN 1", "RETURN 2")
            assert caught.value.code == "database_restarting"
        assert_all_is_back(database, "doubled")


@pytest.mark.trio
async def test_a_group_under_way_may_be_what_ends_the_worker(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        async with database.session() as session:
            await tell(session, "RETURN 1")
            executing = worker_of(database).executing
            async with session.query_several(queries(*["RETURN 1"] * 400)) as groups:
                async for _ in groups:
                    assert list(executing.values()) == [TOGETHER]
                    break
            assert not executing


@pytest.mark.trio
async def test_who_waits_for_a_turn_is_not_kept_from_running_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(several, "SEAT_SECONDS", 0.01)
    async with opened(tmp_path) as node:
        database = await create(node)
        async with database.session() as session:
            await tell(session, "RETURN 1")
            async with database.floor.locks.gate.exclusive():
                assert await answered(session, "RETURN 1", "RETURN 2") == []
            assert await answered(session, "RETURN 1", "RETURN 2") == [[1], [2]]
        assert_all_is_back(database, "waited")


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_group_of_answers_that_is_not_whole_is_a_frame_error(cut: int) -> None:
    message = messages.encode([Done(["a"], 1, 0.5, 4), Done([], 0, 0.5, 3)])
    whole = len(message).to_bytes(4, "little") + message + b"bodyend"
    assert [body for _, body in messages.read_done(whole)] == [b"body", b"end"]
    for payload in (whole[:-cut], whole + b"x" * cut, whole[cut:]):
        with pytest.raises(FrameError):
            messages.read_done(payload)
