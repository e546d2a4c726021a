"""Databases: list, create, look at, delete."""

from __future__ import annotations

import trio
from msgspec import UNSET

from kuzu_node.engine.values import DatabaseInfo, DatabaseSpec
from kuzu_node.errors import RequestRefused
from kuzu_node.http.answers import (
    CreatedDatabase,
    DatabaseList,
    DatabaseMetrics,
    DeletedDatabase,
    NodeCapacity,
)
from kuzu_node.http.handlers.node import all_infos, database_answer, max_databases, megabytes
from kuzu_node.http.models import CreateDatabaseBody
from kuzu_node.http.ports import Node
from kuzu_node.http.request import Request
from kuzu_node.http.response import Response, json_response
from kuzu_node.schemas import entity_schema, shared_schema


async def list_databases(node: Node, _: Request) -> Response:
    infos = await all_infos(node)
    answer = DatabaseList(
        databases=tuple(database_answer(info) for info in infos),
        total_databases=len(infos),
        total_size_bytes=sum(info.size_bytes for info in infos),
        node_capacity=_capacity(node, infos),
    )
    return json_response(answer)


async def create_database(node: Node, request: Request) -> Response:
    began = trio.current_time()
    body = await request.read_json(CreateDatabaseBody)
    spec = _spec(body)
    database = await node.databases.create(spec)
    answer = CreatedDatabase(
        status="success",
        graph_id=body.graph_id,
        database_path=database.info().database_path,
        schema_applied=bool(spec.ddl),
        execution_time_ms=round((trio.current_time() - began) * 1000, 3),
    )
    return json_response(answer, 201, ((b"location", f"/databases/{body.graph_id}".encode()),))


async def get_database(node: Node, request: Request) -> Response:
    return json_response(database_answer(node.databases.get(request.graph_id).info()))


async def delete_database(node: Node, request: Request) -> Response:
    """`purge` is read and checked; a deleted database is removed at once either way."""
    request.query_flag("purge", default=False)
    graph_id = request.graph_id
    await node.databases.delete(graph_id)
    return json_response(DeletedDatabase(status="success", message=f"database {graph_id} is deleted"))


async def database_metrics(node: Node, request: Request) -> Response:
    database = node.databases.get(request.graph_id)
    identity = node.config.identity
    request.begin_work(node.config.engine.query_timeout)
    size = await database.size()
    answer = DatabaseMetrics(
        graph_id=database.graph_id,
        database_name=database.graph_id,
        size_bytes=size.size_bytes,
        size_mb=megabytes(size.size_bytes),
        node_count=size.node_count,
        relationship_count=size.relationship_count,
        last_modified=size.last_modified,
        instance_id=identity.instance_id,
        node_type=identity.node_type,
    )
    return json_response(answer)


def _spec(body: CreateDatabaseBody) -> DatabaseSpec:
    return DatabaseSpec(
        graph_id=body.graph_id,
        schema_type=body.schema_type,
        ddl=_ddl(body),
        repository_name=body.repository_name,
        is_subgraph=body.is_subgraph,
        tenant_tier=body.tenant_tier,
    )


def _ddl(body: CreateDatabaseBody) -> tuple[str, ...]:
    if body.schema_type == "entity":
        return entity_schema()
    if body.schema_type == "shared":
        if not body.repository_name:
            raise RequestRefused("repository_name is required for a shared database")
        return shared_schema(body.repository_name)
    text = body.custom_schema_ddl or ""
    return (text,) if text.strip() else ()


def _capacity(node: Node, infos: list[DatabaseInfo]) -> NodeCapacity:
    """Subgraphs do not count against the capacity."""
    counted = sum(not info.is_subgraph for info in infos)
    limit = max_databases(node)
    if limit is UNSET:
        return NodeCapacity(
            max_databases=UNSET, current_databases=counted, capacity_remaining=UNSET, utilization_percent=UNSET
        )
    return NodeCapacity(
        max_databases=limit,
        current_databases=counted,
        capacity_remaining=max(0, limit - counted),
        utilization_percent=round(100 * counted / limit, 2) if limit else 100.0,
    )
