"""Values with which no checkpoint works: the nil UUID and the smallest INT128, which the engine tries to negate."""

from __future__ import annotations

import kuzu

from kuzu_node.worker import engine

_SMALLEST = {
    "UUID": "UUID('00000000-0000-0000-0000-000000000000')",
    "INT128": "cast('-170141183460469231731687303715884105728' AS INT128)",
}
# What the engine says of such a value. `storage_info` fails as well where a new row has held one, even if no more.
NOT_SHOWN = "cannot negate INT128_MIN"
# Rows of a table that the engine packs together, counted from the table's first.
_GROUP_ROWS = 1 << 17


class Unstorable(RuntimeError):
    """Raised before anything has been written."""


def refuse_unstorable(connection: kuzu.Connection) -> None:
    """Raises Unstorable, which says where such a value is and how to be rid of it.

    Alone in its part of the table, or beside NULL, it does no harm. Inside lists and structs it is not looked for.
    """
    for _, name, kind, *_ in engine.rows(connection, "CALL show_tables() RETURN *"):
        if kind not in {"NODE", "REL"}:
            continue
        table = engine.quoted(name)
        pattern, owner = (f"(t:{table})", "t") if kind == "NODE" else (f"(a)-[t:{table}]->()", "a")
        text = f"CALL table_info({engine.text_literal(name)}) RETURN name, type"
        for column, column_type in engine.rows(connection, text):
            smallest = _SMALLEST.get(column_type)
            if smallest and _is_harmful(connection, pattern, owner, engine.quoted(column), smallest):
                row = f"MATCH {pattern.replace('(a)', '()')} WHERE t.{engine.quoted(column)} = {smallest}"
                raise Unstorable(
                    f"Unstorable value: the engine cannot store {smallest} in {name}.{column} beside other values. "
                    f"Change it, before any DELETE of its row: {row} SET t.{engine.quoted(column)} = NULL"
                )


def _is_harmful(connection: kuzu.Connection, pattern: str, owner: str, column: str, smallest: str) -> bool:
    # The first question is answered by the engine's statistics where there is no such value.
    if not engine.rows(connection, f"MATCH {pattern} WHERE t.{column} = {smallest} RETURN 1 LIMIT 1"):
        return False
    text = (
        f"MATCH {pattern} WHERE t.{column} IS NOT NULL "
        f"WITH cast(offset(id({owner})) / {_GROUP_ROWS} AS INT64) AS part, t.{column} = {smallest} AS is_smallest "
        "WITH part, count(DISTINCT is_smallest) AS kinds WHERE kinds > 1 RETURN part LIMIT 1"
    )
    return bool(engine.rows(connection, text))
