from __future__ import annotations

from typing import Any

import pytest
import trio

from kuzu_node.engine.values import Property, Table
from kuzu_node.errors import StatementFailed
from kuzu_node.http.handlers.node import INFOS_IN_A_STEP
from kuzu_node.schemas import entity_schema, shared_schema, statements
from tests.http.exchange import call, served
from tests.http.fakes import FakeCatalog, FakeDatabase, FakeNode

pytestmark = pytest.mark.trio

LAST = "g1999"


@pytest.mark.parametrize(
    ("body", "ddl"),
    [
        ({"graph_id": "new"}, entity_schema()),
        ({"graph_id": "new", "schema_type": "shared", "repository_name": "sec"}, shared_schema("sec")),
        ({"graph_id": "new", "schema_type": "shared", "repository_name": "other"}, statements("base")),
        ({"graph_id": "new", "schema_type": "custom", "custom_schema_ddl": "CREATE .."}, ("CREATE ..",)),
        ({"graph_id": "new", "schema_type": "custom", "custom_schema_ddl": "  "}, ()),
        ({"graph_id": "new", "schema_type": "custom"}, ()),
    ],
)
async def test_a_database_is_created_with_its_schema(body: dict[str, Any], ddl: tuple[str, ...]) -> None:
    async with served() as (app, node):
        reply = await call(app, "POST", "/databases", body)
        assert reply.status == 201
        assert reply.json.pop("execution_time_ms") >= 0
        assert (reply.json["status"], reply.json["graph_id"], reply.json["schema_applied"]) == (
            "success",
            "new",
            bool(ddl),
        )
        assert reply.headers[b"location"] == b"/databases/new"
        assert node.databases.specs[0].ddl == ddl


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"graph_id": "g1"}, 409, "exists"),
        ({"graph_id": "a/b"}, 422, "invalid"),
        ({"graph_id": "new", "schema_type": "shared"}, 400, "bad_request"),
        ({"graph_id": "new", "surplus": 1}, 422, "invalid"),
        ({}, 422, "invalid"),
    ],
)
async def test_a_database_that_cannot_be_created(body: dict[str, Any], status: int, code: str) -> None:
    async with served() as (app, node):
        reply = await call(app, "POST", "/databases", body)
        assert (reply.status, reply.json["code"]) == (status, code)
        assert node.databases.names() == ("g1",)


async def test_databases_are_listed_with_the_room_for_more() -> None:
    async with served() as (app, _):
        listed = (await call(app, "GET", "/databases")).json
        assert (listed["total_databases"], listed["total_size_bytes"]) == (1, 4096)
        assert listed["node_capacity"] == {
            "max_databases": 10,
            "current_databases": 1,
            "capacity_remaining": 9,
            "utilization_percent": 10.0,
        }
        assert listed["databases"] == [(await call(app, "GET", "/databases/g1")).json]
        assert listed["databases"][0]["last_accessed"] is None


async def test_a_deleted_database_is_gone() -> None:
    async with served() as (app, _):
        reply = await call(app, "DELETE", "/databases/g1?purge=true")
        assert reply.json == {"status": "success", "message": "database g1 is deleted"}
        assert (await call(app, "DELETE", "/databases/g1")).status == 404


async def test_metrics_of_a_database() -> None:
    async with served() as (app, _):
        assert (await call(app, "GET", "/databases/g1/metrics")).json == {
            "graph_id": "g1",
            "database_name": "g1",
            "size_bytes": 3 << 20,
            "size_mb": 3.0,
            "node_count": 5,
            "relationship_count": 4,
            "last_modified": "2025-01-02T00:00:00+00:00",
            "instance_id": "node-1",
            "node_type": "writer",
        }


async def test_the_schema_has_nodes_and_relationships() -> None:
    async with served() as (app, node):
        node.g1.tables = (
            Table(
                id=0,
                name="A",
                type="NODE",
                comment="",
                properties=(Property(name="id", type="INT64", primary_key=True),),
            ),
            Table(id=1, name="R", type="REL", comment="c", properties=(), connections=(("A", "A"), ("A", "B"))),
        )
        schema = (await call(app, "GET", "/databases/g1/schema")).json
        assert (schema["database"], schema["node_tables"], schema["rel_tables"]) == ("g1", ["A"], ["R"])
        table, relationship = schema["tables"]
        assert table == {
            "id": 0,
            "name": "A",
            "type": "NODE",
            "comment": "",
            "properties": [{"name": "id", "type": "INT64", "primary_key": True}],
        }
        assert (relationship["source"], relationship["target"]) == ("A", "A")
        assert relationship["connections"] == [{"from": "A", "to": "A"}, {"from": "A", "to": "B"}]


async def test_ddl_is_handed_over_with_its_permission_to_drop() -> None:
    async with served() as (app, node):
        body = {"type": "ddl", "ddl": "DROP TABLE a; DROP TABLE b", "allow_drop": True}
        reply = await call(app, "POST", "/databases/g1/schema", body)
        assert reply.json == {"success": True, "message": "2 statements applied", "statements_executed": 2}
        assert node.g1.ddl == [("DROP TABLE a; DROP TABLE b", True)]


@pytest.mark.parametrize("extension", ["ledger", "roboledger"])
async def test_built_in_schemas_can_be_applied_again(extension: str) -> None:
    async with served() as (app, node):
        metadata = {"base_schema": "base", "extensions": [extension]}
        reply = await call(app, "POST", "/databases/g1/schema", {"type": "custom", "metadata": metadata})
        assert reply.json["statements_executed"] == len(entity_schema())
        text, allow_drop = node.g1.ddl[0]
        assert not allow_drop
        assert all(" TABLE IF NOT EXISTS " in statement for statement in text.split(";"))


async def test_a_failing_schema_says_that_nothing_was_applied() -> None:
    async with served() as (app, node):
        node.g1.ddl_failure = StatementFailed(
            "Binder exception: A already exists", code="catalog", is_statement=True, committed=False
        )
        reply = await call(app, "POST", "/databases/g1/schema", {"type": "ddl", "ddl": "CREATE .."})
        assert (reply.status, reply.json["committed"]) == (400, False)
        node.g1.ddl_failure = StatementFailed("the worker died")
        reply = await call(app, "POST", "/databases/g1/schema", {"type": "ddl", "ddl": "CREATE .."})
        assert reply.json["committed"] is None


@pytest.mark.parametrize("path", ["/databases", "/status/databases", "/metrics"])
async def test_a_list_of_thousands_lets_others_go_on_and_leaves_out_who_goes(path: str) -> None:
    """Looking at the files of a database takes 20 us."""
    turns = 0

    async def others(node: FakeNode) -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1
            node.databases.databases.pop(LAST, None)

    names = [f"g{number}" for number in range(2000)]
    node = FakeNode(databases=FakeCatalog({name: FakeDatabase(graph_id=name) for name in names}))
    async with served(node) as (app, _), trio.open_nursery() as nursery:
        nursery.start_soon(others, node)
        reply = await call(app, "GET", path)
        nursery.cancel_scope.cancel()
    assert reply.status == 200
    assert turns >= 2000 / INFOS_IN_A_STEP
    answered = str(reply.body)
    assert '"g1998"' in answered
    assert f'"graph_id":"{LAST}"' not in answered
