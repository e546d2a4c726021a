"""The Database of this process and what is asked of its catalog. The only module that opens Kuzu."""

from __future__ import annotations

from typing import Any

import kuzu

from kuzu_node.core.messages import Assign

FILE_NAME = "graph.kuzu"


def open_database(order: Assign) -> kuzu.Database:
    """Opens the file; nothing checkpoints but the node's own order, neither by size nor at close.

    Without compression, which loses values: the smallest of each signed type beside others, strings beside new NULLs.
    """
    return kuzu.Database(
        order.file,
        compression=False,
        buffer_pool_size=order.pool_size,
        max_num_threads=order.max_threads,
        max_db_size=order.max_db_size,
        read_only=order.read_only,
        auto_checkpoint=False,
    )


def connect(database: kuzu.Database, threads: int) -> kuzu.Connection:
    """A Connection whose closing does not checkpoint."""
    connection = kuzu.Connection(database, num_threads=threads)
    connection.execute("CALL force_checkpoint_on_close=false")
    return connection


def run(connection: kuzu.Connection, text: str, parameters: dict[str, Any] | None = None) -> kuzu.QueryResult:
    """Executes one statement; where the engine rewrites it into several, the last result."""
    result = connection.execute(text, parameters or None)
    if isinstance(result, list):
        for earlier in result[:-1]:
            earlier.close()
        return result[-1]
    return result


def rows(connection: kuzu.Connection, text: str) -> list[list[Any]]:
    """All rows of a small result."""
    result = run(connection, text)
    try:
        found: list[list[Any]] = result.get_all()  # type: ignore[assignment]  # the stub allows for dicts, which come only on demand
        return found
    finally:
        result.close()


def quoted(name: str) -> str:
    """A name of the catalog as a backtick identifier. The engine keeps the doubled backticks in its names."""
    return f"`{name}`"


def text_literal(value: str) -> str:
    """The string as a Cypher literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def schema(connection: kuzu.Connection) -> list[dict[str, Any]]:
    """Tables in order of id: `id, name, type, comment, properties[(name, type, primary)], connections[(from, to)]`."""
    tables = []
    for table_id, name, kind, _, comment in rows(connection, "CALL show_tables() RETURN *"):
        literal = text_literal(name)
        info = rows(connection, f"CALL table_info({literal}) RETURN *")
        ends = rows(connection, f"CALL show_connection({literal}) RETURN *") if kind == "REL" else []
        tables.append(
            {
                "id": table_id,
                "name": name,
                "type": kind,
                "comment": comment,
                "properties": [(row[1], row[2], kind == "NODE" and bool(row[4])) for row in info],
                "connections": [(row[0], row[1]) for row in ends],
            }
        )
    return sorted(tables, key=lambda table: table["id"])


def indexes(connection: kuzu.Connection) -> list[tuple[str, str]]:
    """(table, kind) of each index that is not a primary key's."""
    found = rows(connection, "CALL show_indexes() RETURN table_name, index_type")
    return [(table, kind) for table, kind in found]


def counts(connection: kuzu.Connection) -> dict[str, int]:
    """Rows in all node tables and in all relationship tables."""
    totals = {"NODE": 0, "REL": 0}
    for _, name, kind, *_ in rows(connection, "CALL show_tables() RETURN *"):
        pattern = f"(x:{quoted(name)})" if kind == "NODE" else f"()-[x:{quoted(name)}]->()"
        if kind in totals:
            totals[kind] += rows(connection, f"MATCH {pattern} RETURN count(*)")[0][0]
    return {"nodes": totals["NODE"], "relationships": totals["REL"]}
