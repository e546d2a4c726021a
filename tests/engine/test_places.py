"""A node holds far more databases than fit in its memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from kuzu_node.engine.deliveries import Deliveries
from kuzu_node.engine.execution import Execution, Floor
from kuzu_node.engine.meta import Meta, write_meta
from kuzu_node.engine.openings import Openings
from kuzu_node.engine.presence import Presence
from kuzu_node.engine.quarantine import Quarantine
from kuzu_node.engine.turn import Locks
from kuzu_node.engine.values import Query, State
from kuzu_node.errors import Unavailable
from tests.engine.nodes import ENDLESS, NOTHING, ask, create, failure, held, opened, reach

pytestmark = pytest.mark.trio


def make_folders(base: Path, count: int) -> list[str]:
    """Databases as a node before has left them, without a file yet: the engine makes it at the first opening."""
    names = [f"g{number:02}" for number in range(count)]
    for name in names:
        root = base / name
        (root / "aside").mkdir(parents=True)
        (root / "staging").mkdir()
        meta = Meta(
            graph_id=name,
            created_at="2024-01-01T00:00:00.000Z",
            schema_type="custom",
            engine_version="0.11.3",
            storage_version=39,
        )
        write_meta(root / "meta.json", meta)
    return names


async def test_fifty_databases_on_a_node_with_room_for_ten_all_answer_at_once(tmp_path: Path) -> None:
    names = make_folders(tmp_path, 50)
    # A patience far below what all of them take together, and above what one of them takes on a busy machine.
    async with opened(tmp_path, KUZU_MAX_MEMORY_MB="2560", KUZU_QUEUE_TIMEOUT="5") as node:
        assert node.databases.openings.open_count == 0
        answers: dict[str, object] = {}
        most = 0

        async def visit(name: str) -> None:
            nonlocal most
            answers[name] = await ask(node.databases.get(name), "RETURN $name AS name", name=name)
            most = max(most, node.databases.openings.open_count)

        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(visit, name)
        assert answers == {name: [{"name": name}] for name in names}
        assert most == 10
        assert node.statistics().open_databases <= 10


async def test_who_waits_in_a_line_that_moves_is_not_sent_away(mock_clock: MockClock) -> None:
    floor = closed_floor(patience=5)
    refused: list[float] = []

    async def wait() -> None:
        with pytest.raises(Unavailable, match="was not ready within 5 s"):
            await Execution(floor, Query(cypher=""), "-", write=False).opened()
        refused.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        for _ in range(5):
            await wait_all_tasks_blocked()
            mock_clock.jump(4)
            floor.openings.moved()
        await wait_all_tasks_blocked()
        mock_clock.jump(4.9)
        await wait_all_tasks_blocked()
        assert refused == []
        mock_clock.jump(0.2)
    assert refused == [pytest.approx(25.1)]
    assert not floor.presence.busy


async def test_who_comes_long_after_the_line_has_moved_waits_as_well(autojump_clock: MockClock) -> None:
    floor = closed_floor(patience=5)
    floor.openings.moved()
    autojump_clock.jump(100)
    with pytest.raises(Unavailable):
        await Execution(floor, Query(cypher=""), "-", write=False).opened()
    assert trio.current_time() == 105


def closed_floor(*, patience: float) -> Floor:
    """Of a database that nobody opens."""
    locks = Locks(trio.CapacityLimiter(1), patience, 10)
    return Floor(Presence("g"), locks, Deliveries(1, 1, waiting=9), Openings(1), Quarantine(60), 10, 10, 30, 300)


async def test_one_that_is_used_is_not_closed_for_another_and_waiting_is_bounded(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_MAX_MEMORY_MB="256", KUZU_QUEUE_TIMEOUT="0.5") as node:
        database = await create(node)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, database, ENDLESS)
            while not held(database).inside:
                await trio.lowlevel.checkpoint()
            with pytest.raises(Unavailable) as caught:
                await create(node, "second")
            assert (caught.value.code, caught.value.committed) == ("database_restarting", False)
            assert node.databases.names() == ("g",)
            nursery.cancel_scope.cancel()
        assert held(database) == NOTHING
        assert await ask(database, "RETURN 1 AS one") == [{"one": 1}]


async def test_an_idle_database_closes_and_the_next_query_opens_it(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_IDLE_EVICT_SECONDS="0.2") as node:
        database = await create(node)
        await ask(database, "CREATE (:P {id: 1})")
        await reach(database, State.CLOSED)
        assert node.databases.openings.open_count == 0
        assert database.floor.presence.worker is None
        assert await ask(database, "MATCH (p:P) RETURN p.id AS id") == [{"id": 1}]
        assert database.info().restarts == 0
        # It is not idle while somebody uses it, however long that takes.
        with trio.move_on_after(0.6):
            await ask(database, ENDLESS)
        assert database.info().state is State.READY


async def test_a_refused_text_leaves_its_place_to_those_who_wait(tmp_path: Path) -> None:
    names = make_folders(tmp_path, 2)
    async with opened(tmp_path, KUZU_MAX_MEMORY_MB="256", KUZU_QUEUE_TIMEOUT="30") as node:
        first, second = (node.databases.get(name) for name in names)
        async with trio.open_nursery() as nursery:
            # It is opened for a text that the screen then refuses, so nobody enters it.
            nursery.start_soon(failure, first, "CHECKPOINT")
            while not node.databases.openings.open_count:
                await trio.lowlevel.checkpoint()
            assert await ask(second, "RETURN 1 AS one") == [{"one": 1}]


async def test_statistics_tell_of_the_workers(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        for _ in range(3):
            await ask(database, "RETURN 1 AS one")
        await failure(database, "RETURN )")
        found = node.statistics()
        assert found.database_names == ("g",)
        assert (found.open_databases, found.failed_databases, found.active_queries, found.queue_depth) == (1, 0, 0, 0)
        assert found.queries_by_database == {"g": 3}
        assert found.latency_p99_ms > 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.run_sampling_workers)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        sampled = node.statistics()
        assert sampled.memory_rss > sampled.system.rss_bytes
        assert sampled.memory_vms > sampled.system.vms_bytes + sampled.memory_rss
        json.dumps(database.info().last_accessed)
        assert database.info().query_count == 3
