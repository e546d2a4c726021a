"""Keeps checkpoints from making columns of nested lists useless. Used around each CHECKPOINT, beside `lists`.

Where no row of a group holds an item of a MAP, or of a list of STRUCTs or lists, when the engine writes that column of
the group (anew, which it does whenever it likes), it loses every item that comes later. So one row gets an item for as
long as a checkpoint takes; another checkpoint, which has only that row to change, leaves the item's place behind.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import kuzu

from kuzu_node.worker import engine
from kuzu_node.worker.lists import DATA, GROUP_ROWS, Place, chunks, columns, places
from kuzu_node.worker.load.refusal import Refused
from kuzu_node.worker.load.types import ColumnType, parse_type

_TEXTS = {
    "BOOL": "true",
    "STRING": "x",
    "JSON": "1",
    "BLOB": "x",
    "DATE": "2000-01-01",
    "INTERVAL": "1 day",
    "UUID": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
}


class Seed(NamedTuple):
    """A row whose column holds an item for now, and the text that it held."""

    table: str
    column: str
    row: int
    held: str


def sow(connection: kuzu.Connection, tables: Collection[str], *, changed: bool) -> list[Seed]:
    """Of node tables among `tables`. Writes, within the connection's transaction if there is one.

    `changed`: stored rows may have been changed as well since the last checkpoint.
    """
    found: list[Seed] = []
    for _, name, kind, *_ in engine.rows(connection, "CALL show_tables() RETURN *"):
        if kind != "NODE" or name not in tables:
            continue
        for column, text, _ in columns(connection, name):
            nested = places(column, text)
            if nested:
                for group in _to_be_written(connection, name, column, changed=changed):
                    found += _sow_one(connection, name, nested, text, group)
    return found


def dig_up(connection: kuzu.Connection, seeds: Iterable[Seed]) -> None:
    """The rows hold again what they held; another CHECKPOINT then stores that."""
    for one in seeds:
        engine.run(connection, _set(one.table, one.column, one.row, one.held)).close()


def _to_be_written(connection: kuzu.Connection, table: str, column: str, *, changed: bool) -> list[int]:
    """The groups of which the next checkpoint may write the column, but for those that have lost it already."""
    found = chunks(connection, table, f"num_values > 0 AND column_name = {engine.text_literal(column)}")
    groups = {one.group for one in found if changed or not one.stored}
    lost = chunks(connection, table, f"column_name = {engine.text_literal(column + DATA)} AND compression = 'CONSTANT'")
    return sorted(groups - {one.group for one in lost if one.stored})


def _sow_one(connection: kuzu.Connection, name: str, nested: list[Place], text: str, group: int) -> list[Seed]:
    """Nothing where each list has an item already, or where no row can be told to hold one for a while.

    The last row: a new one if there is one, since changes of stored lists beside new ones are a fault of their own.
    """
    table, column = engine.quoted(name), engine.quoted(nested[0].column)
    row = "offset(id(t))"
    rows = f"MATCH (t:{table}) WHERE {row} >= {group * GROUP_ROWS} AND {row} < {(group + 1) * GROUP_ROWS}"
    if all(engine.rows(connection, f"{rows} AND size({one.value}) > 0 RETURN 1 LIMIT 1") for one in nested):
        return []
    try:
        item = _value(parse_type(text))
    except Refused:
        return []
    found = engine.rows(connection, f"{rows} AND t.{column} IS NULL RETURN max({row})")
    held = f"CAST(NULL AS {text})"
    if found == [[None]] and nested[0].value == f"t.{column}":
        found = engine.rows(connection, f"{rows} AND size(t.{column}) = 0 RETURN max({row})")
        held = f"CAST({'map([], [])' if text.startswith('MAP(') and text.endswith(')') else '[]'} AS {text})"
    if found == [[None]]:
        return []
    engine.run(connection, _set(table, column, found[0][0], item)).close()
    return [Seed(table, column, found[0][0], held)]


def _set(table: str, column: str, row: int, value: str) -> str:
    return f"MATCH (t:{table}) WHERE offset(id(t)) = {row} SET t.{column} = {value}"


def _value(kind: ColumnType) -> str:
    """A text with an item in every list. Raises Refused for a UNION, which has one of its members at a time."""
    if kind.kind == "UNION":
        raise Refused(f"{kind.text} has no value with all of its members")
    children = [_value(child) for child in kind.children]
    if kind.kind == "STRUCT":
        fields = [f"{engine.quoted(name)}: {child}" for name, child in zip(kind.names, children, strict=True)]
        return f"{{{', '.join(fields)}}}"
    if kind.kind == "MAP":
        return f"map([{children[0]}], [{children[1]}])"
    if kind.kind in {"LIST", "ARRAY"}:
        return f"[{', '.join(children * max(1, kind.size))}]"
    if kind.kind.startswith("TIMESTAMP"):
        return f"CAST('2000-01-01 00:00:00' AS {kind.text})"
    return f"CAST({engine.text_literal(_TEXTS.get(kind.kind, '1'))} AS {kind.text})"
