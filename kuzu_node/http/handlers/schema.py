"""The schema of a database: read it, add to it."""

from __future__ import annotations

from typing import Final

from kuzu_node.engine.values import Table
from kuzu_node.http.answers import ColumnAnswer, SchemaAnswer, SchemaChange, TableAnswer
from kuzu_node.http.models import SchemaBody, SchemaMetadata
from kuzu_node.http.ports import Node
from kuzu_node.http.request import Effect, Request
from kuzu_node.http.response import Response, json_response
from kuzu_node.schemas import EXTENSIONS, statements

NODE: Final = "NODE"


async def get_schema(node: Node, request: Request) -> Response:
    database = node.databases.get(request.graph_id)
    request.begin_work(node.config.engine.query_timeout)
    tables = await database.schema()
    answer = SchemaAnswer(
        database=database.graph_id,
        tables=tuple(_table(table) for table in tables),
        node_tables=tuple(table.name for table in tables if table.type == NODE),
        rel_tables=tuple(table.name for table in tables if table.type != NODE),
    )
    return json_response(answer)


async def change_schema(node: Node, request: Request) -> Response:
    database = node.databases.get(request.graph_id)
    body = await request.read_json(SchemaBody)
    ddl = body.ddl if body.metadata is None else _built_in(body.metadata)
    request.begin_work(node.config.engine.query_timeout, Effect(committed=None))
    executed = await database.apply_ddl(ddl or "", allow_drop=body.allow_drop)
    message = f"{executed} statements applied"
    return json_response(SchemaChange(success=True, message=message, statements_executed=executed))


def _built_in(metadata: SchemaMetadata) -> str:
    """The texts of built-in schemas, written so that what exists stays as it is."""
    names = dict.fromkeys(("base", *(EXTENSIONS[extension] for extension in metadata.extensions)))
    texts = [text for name in names for text in statements(name)]
    return ";\n".join(_if_absent(text) for text in texts)


def _if_absent(text: str) -> str:
    for create in ("CREATE NODE TABLE ", "CREATE REL TABLE "):
        if text.startswith(create):
            return f"{create}IF NOT EXISTS {text.removeprefix(create)}"
    return text


def _table(table: Table) -> TableAnswer:
    columns = tuple(
        ColumnAnswer(name=column.name, type=column.type, primary_key=column.primary_key) for column in table.properties
    )
    if not table.connections:
        return TableAnswer(id=table.id, name=table.name, type=table.type, comment=table.comment, properties=columns)
    source, target = table.connections[0]
    return TableAnswer(
        id=table.id,
        name=table.name,
        type=table.type,
        comment=table.comment,
        properties=columns,
        source=source,
        target=target,
        connections=tuple({"from": left, "to": right} for left, right in table.connections),
    )
