"""Databases are created as a whole or not at all, found again, and deleted while they are in use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from kuzu_node.engine.values import Query
from kuzu_node.errors import Conflict, NodeError, NotFound, OutOfSpace, Unavailable
from kuzu_node.node import BasePathInUse
from tests.engine.cancelling import cancel_at
from tests.engine.nodes import ENDLESS, LONG, PERSON, ask, create, failure, held, opened

pytestmark = pytest.mark.trio


async def test_a_database_is_found_again_with_all_that_was_said_of_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node, "a-b_C9", repository_name="sec", is_subgraph=True, tenant_tier="premium")
        created = database.info()
        await ask(database, "CREATE (:P {id: 1})")
        with pytest.raises(Conflict) as caught:
            await create(node, "a-b_C9")
        assert caught.value.code == "exists"
        bare = await create(node, "bare", ddl="")
        assert await bare.schema() == ()
    async with opened(tmp_path) as node:
        assert node.databases.names() == ("a-b_C9", "bare")
        database = node.databases.get("a-b_C9")
        assert (database.meta.repository_name, database.meta.is_subgraph, database.meta.tenant_tier) == (
            "sec",
            True,
            "premium",
        )
        assert database.info().created_at == created.created_at
        assert await ask(database, "MATCH (p:P) RETURN count(*) AS n") == [{"n": 1}]
        with pytest.raises(NotFound) as unknown:
            node.databases.get("nobody")
        assert unknown.value.code == "unknown_database"


@pytest.mark.parametrize(
    "ddl", [f"{PERSON}; CREATE NODE TABLE P(id INT64, PRIMARY KEY(id))", "CREATE NODE", "RETURN 1"]
)
async def test_a_schema_that_fails_leaves_nothing(tmp_path: Path, ddl: str) -> None:
    async with opened(tmp_path) as node:
        with pytest.raises(NodeError):
            await create(node, ddl=ddl)
        assert not (tmp_path / "g").exists()
        assert node.databases.names() == ()
        assert node.databases.openings.open_count == 0
        assert await (await create(node)).schema()


async def test_a_creation_that_is_cancelled_anywhere_leaves_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        ended, step = False, 0

        async def operation() -> None:
            await create(node)

        while not ended:
            step += 1
            ended = await cancel_at(operation, step)
            if not ended:
                assert not (tmp_path / "g").exists(), step
                assert node.databases.names() == ()
                assert node.databases.openings.open_count == 0
        assert step > 3
        assert await ask(node.databases.get("g"), "RETURN 1 AS one") == [{"one": 1}]


async def test_what_a_crash_leaves_of_a_creation_is_removed_at_the_start(tmp_path: Path) -> None:
    for name in ("early", "late"):
        (tmp_path / name / "aside").mkdir(parents=True)
        (tmp_path / name / ".creating").touch()
    (tmp_path / "late" / "graph.kuzu").write_bytes(b"something")
    (tmp_path / "empty").mkdir()
    async with opened(tmp_path) as node:
        assert node.databases.names() == ()
        assert not (tmp_path / "early").exists()
        assert not (tmp_path / "late").exists()
        for name in ("early", "late", "empty"):
            assert await ask(await create(node, name), "RETURN 1 AS one") == [{"one": 1}]


async def test_folders_that_are_no_databases_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "bad name!").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "meta.json").write_text("{")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "meta.json").write_text(json.dumps({"title": "photos"}))
    with capture_logs() as logs:
        async with opened(tmp_path) as node:
            assert node.databases.names() == ()
            for name in ("notes", "broken", "file"):
                with pytest.raises(Conflict) as caught:
                    await create(node, name)
                assert caught.value.code == "exists"
    skipped = [line for line in logs if line["log_level"] in {"warning", "error"}]
    assert sorted((line["event"], line["folder"]) for line in skipped) == [
        ("database_skipped", "broken"),
        ("database_skipped", "foreign"),
    ]
    assert (tmp_path / "notes" / "todo.txt").read_text() == "mine"
    assert (tmp_path / "broken" / "meta.json").read_text() == "{"


async def test_a_copied_folder_is_not_served_in_the_place_of_its_original(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        await create(node, "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    async with opened(tmp_path) as node:
        assert node.databases.names() == ("a",)
        assert node.databases.get("a").folder.root == tmp_path / "a"


async def test_deleting_waits_for_what_runs_and_frees_the_name(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        await ask(database, "CREATE (:P {id: 1})")
        rows: list[int] = []

        async def reader(*, task_status: trio.TaskStatus[None]) -> None:
            async with database.query(Query(cypher=LONG.format(50_000))) as answer, answer.delivery() as pieces:
                task_status.started()
                rows.append(sum([piece.rows async for piece in pieces]))

        async with trio.open_nursery() as nursery:
            await nursery.start(reader)
            await node.databases.delete("g")
            assert not (tmp_path / "g").exists()
        assert rows == [50_000]
        assert (await failure(database, "RETURN 1")).code == "unknown_database"
        with pytest.raises(NotFound):
            await node.databases.delete("g")
        again = await create(node)
        assert await ask(again, "MATCH (p:P) RETURN count(*) AS n") == [{"n": 0}]
    async with opened(tmp_path) as node:
        assert node.databases.names() == ("g",)


async def test_deleting_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kuzu_node.engine.catalog.DELETE_PATIENCE", 0.3)
    async with opened(tmp_path) as node:
        database, codes = await create(node), list[str]()

        async def victim() -> None:
            codes.append((await failure(database, ENDLESS)).code)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(victim)
            while not held(database).inside:
                await trio.lowlevel.checkpoint()
            started = trio.current_time()
            await node.databases.delete("g")
            assert 0.3 <= trio.current_time() - started < 3
        assert codes == ["database_restarting"]
        assert not (tmp_path / "g").exists()


async def test_those_who_wait_for_a_database_that_is_deleted_are_told(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_MAX_CONNECTIONS_PER_DB="1") as node:
        database, codes = await create(node), list[str]()

        async def waiter() -> None:
            codes.append((await failure(database, "RETURN 1")).code)

        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as busy:
                    busy.start_soon(ask, database, ENDLESS)
                    while not held(database).slots:
                        await trio.lowlevel.checkpoint()
                    nursery.start_soon(waiter)
                    while not held(database).waiting:
                        await trio.lowlevel.checkpoint()
                    nursery.start_soon(node.databases.delete, "g")
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()
        assert codes == ["unknown_database"]


async def test_a_full_node_takes_subgraphs_only(tmp_path: Path) -> None:
    async with opened(tmp_path, KUZU_MAX_DATABASES_PER_NODE="1") as node:
        await create(node, "first")
        with pytest.raises(OutOfSpace) as caught:
            await create(node, "second")
        assert caught.value.code == "node_full"
        await create(node, "part", is_subgraph=True)
        await node.databases.delete("first")
        await create(node, "second")
        assert node.databases.names() == ("part", "second")


async def test_two_nodes_on_one_folder_are_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        with pytest.raises(BasePathInUse):
            async with opened(tmp_path):
                raise AssertionError("a second owner")
        assert await ask(database, "RETURN 1 AS one") == [{"one": 1}]


async def test_a_node_that_ends_refuses_what_comes(tmp_path: Path) -> None:
    async with opened(tmp_path) as node:
        database = await create(node)
        await node.databases.close()
        error = await failure(database, "RETURN 1")
        assert isinstance(error, Unavailable)
        # No statement was involved: the edge leaves `committed` to what it knows of the request.
        assert (error.code, error.is_statement) == ("draining", False)
