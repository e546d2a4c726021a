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


class Nested(NamedTuple):
    """A column of `table` with lists that need an item; `item` is a value of its type that has one in each."""

    table: str
    places: list[Place]
    type: str
    item: str


def sow(connection: kuzu.Connection, outside: kuzu.Connection, tables: Collection[str], *, changed: bool) -> list[Seed]:
    """Of node tables among `tables`. Writes, within the connection's transaction if there is one; `outside` has none.

    `changed`: stored rows may have been changed as well since the last checkpoint.
    """
    found: list[Seed] = []
    for _, name, kind, *_ in engine.rows(connection, "CALL show_tables() RETURN *"):
        if kind == "NODE" and name in tables:
            for one in _nested(connection, outside, name):
                for group in _to_be_written(connection, one, changed=changed):
                    found += _sow_one(connection, one, group)
    return found


def dig_up(connection: kuzu.Connection, seeds: Iterable[Seed]) -> None:
    """The rows hold again what they held; another CHECKPOINT then stores that."""
    for one in seeds:
        engine.run(connection, _set(one.table, one.column, one.row, one.held)).close()


def _nested(connection: kuzu.Connection, outside: kuzu.Connection, table: str) -> list[Nested]:
    found = [(places(column, text), text) for column, text, _ in columns(connection, table)]
    items = [(nested, text, _item(outside, text)) for nested, text in found if nested]
    return [Nested(table, nested, text, item) for nested, text, item in items if item is not None]


def _item(outside: kuzu.Connection, text: str) -> str | None:
    """A value of that type with an item in every list; None where there is none that the engine takes."""
    try:
        item = f"CAST({_value(parse_type(text))} AS {text})"
        # Names of fields are not always what they are said to be, and an error would end the writer's transaction.
        engine.rows(outside, f"RETURN {item}, CAST(NULL AS {text})")
    except (Refused, RuntimeError):
        return None
    return item


def _to_be_written(connection: kuzu.Connection, nested: Nested, *, changed: bool) -> list[int]:
    """The groups of which the next checkpoint may write the column, but for those that have lost it already."""
    column = engine.text_literal(nested.places[0].column)
    found = chunks(connection, nested.table, f"num_values > 0 AND column_name = {column}")
    groups = {one.group for one in found if changed or not one.stored}
    items = {one.stored + DATA for one in nested.places}
    lost = chunks(connection, nested.table, "residency = 'ON_DISK' AND compression = 'CONSTANT'")
    return sorted(groups - {one.group for one in lost if one.column in items})


def _sow_one(connection: kuzu.Connection, nested: Nested, group: int) -> list[Seed]:
    """Nothing where each list has an item already, or where no row can be told to hold one for a while.

    The last row: a new one if there is one, since changes of stored lists beside new ones are a fault of their own.
    """
    table, place, text, row = engine.quoted(nested.table), nested.places[0], nested.type, "offset(id(t))"
    column = engine.quoted(place.column)
    rows = f"MATCH (t:{table}) WHERE {row} >= {group * GROUP_ROWS} AND {row} < {(group + 1) * GROUP_ROWS}"
    if all(engine.rows(connection, f"{rows} AND size({one.value}) > 0 RETURN 1 LIMIT 1") for one in nested.places):
        return []
    found = engine.rows(connection, f"{rows} AND t.{column} IS NULL RETURN max({row})")
    held = f"CAST(NULL AS {text})"
    if found == [[None]] and place.value == f"t.{column}":
        found = engine.rows(connection, f"{rows} AND size(t.{column}) = 0 RETURN max({row})")
        held = f"CAST({'map([], [])' if text.startswith('MAP(') and text.endswith(')') else '[]'} AS {text})"
    if found == [[None]]:
        return []
    engine.run(connection, _set(table, column, found[0][0], nested.item)).close()
    return [Seed(table, column, found[0][0], held)]


def _set(table: str, column: str, row: int, value: str) -> str:
    return f"MATCH (t:{table}) WHERE offset(id(t)) = {row} SET t.{column} = {value}"


def _value(kind: ColumnType) -> str:
    """An expression. Raises Refused for a UNION, which has one of its members at a time."""
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
