"""Keeps checkpoints from losing lists, or giving them to other rows. Used around each CHECKPOINT.

Two faults of the engine. Where no row of a group held an item of a MAP, or of a list of STRUCTs or lists, what is
written later goes nowhere. Where `seeds` could not keep a table out of that state nothing helps but not to write it, so
the checkpoint is refused. And where stored lists are updated and new rows have lists too, and both fit into the pages
that are there, the new rows get the first lists of their group: they are kept in a table of their own over the
checkpoint, and written again where they have changed.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Any, NamedTuple

import kuzu

from kuzu_node.worker import engine
from kuzu_node.worker.facts import has_nested_lists
from kuzu_node.worker.faults import Unstorable
from kuzu_node.worker.load.refusal import Refused
from kuzu_node.worker.load.types import NESTED, ColumnType, parse_type

# Rows of a table that the engine keeps together, counted from the table's first.
GROUP_ROWS = 1 << 17
_PAGE_BITS = 4096 * 8
_COPY = "_kept over a checkpoint"
DATA, _OFFSET = "_data", "_offset"
_STORED = "residency = 'ON_DISK'"
_OF_LISTS = f"(column_name ENDS WITH '{DATA}' OR data_type = 'UINT32' AND column_name ENDS WITH '{_OFFSET}')"
# All others take a bit at least.
_BITS = {"DOUBLE": 64, "INT64": 64, "UINT64": 64, "TIMESTAMP": 64, "FLOAT": 32, "INT32": 32, "UINT32": 32, "DATE": 32}
_NESTED = ("STRUCT(", "MAP(", "UNION(")


class Chunk(NamedTuple):
    """A line of `storage_info`."""

    group: int
    column: str
    kind: str
    pages: int
    values: int
    smallest: str
    compression: str
    stored: bool


class Place(NamedTuple):
    """Where a column has lists of what is nested: `stored` is the name of their chunks, `value` how they are read."""

    column: str
    stored: str
    value: str


class Kept(NamedTuple):
    """The new rows of `table` are in `copy`, by their offset and with these columns as c0, c1, .."""

    table: str
    copy: str
    columns: list[str]

    def changed(self, index: int) -> str:
        return (
            f"MATCH (t:{self.table}), (x:{self.copy}) "
            f"WHERE offset(id(t)) = x.row AND t.{self.columns[index]} <> x.c{index}"
        )


def refuse_lost_lists(connection: kuzu.Connection, tables: Container[str]) -> None:
    """Raises Unstorable before the engine would write zeros in the place of lists of these tables."""
    for _, name, kind, *_ in engine.rows(connection, "CALL show_tables() RETURN *"):
        owned = columns(connection, name) if kind in {"NODE", "REL"} and name in tables else []
        nested = [place for column, text, _ in owned for place in places(column, text)]
        if not nested:
            continue
        empty: dict[str, set[int]] = {}
        for chunk in chunks(connection, name, f"{_STORED} AND compression = 'CONSTANT'"):
            if _is_nested(chunk.kind) and chunk.column.endswith(DATA):
                empty.setdefault(chunk.column.removesuffix(DATA), set()).add(chunk.group)
        for place in nested:
            groups = empty.get(place.stored if kind == "NODE" else f"fwd_{place.stored}")
            if groups:
                _refuse_items(connection, name, kind, place, groups)


def _is_nested(kind: str) -> bool:
    return kind.startswith(_NESTED) or kind.endswith("]")


def places(column: str, text: str) -> list[Place]:
    """Of a column of the type `text`, by the name that its chunks have in `storage_info`."""
    if not has_nested_lists(text):
        return []
    try:
        return list(_places_in(parse_type(text), column, column, f"t.{engine.quoted(column)}"))
    except Refused:
        return []


def _places_in(kind: ColumnType, column: str, stored: str, value: str) -> Iterator[Place]:
    """Those that are in no other list: with one item in the outer list, the inner ones may be empty."""
    if kind.kind in {"STRUCT", "UNION"}:
        # The first part of a UNION is its tag.
        first, extract = (0, "struct_extract") if kind.kind == "STRUCT" else (1, "union_extract")
        for number, (name, child) in enumerate(zip(kind.names, kind.children, strict=True), first):
            inner = f"{extract}({value}, {engine.text_literal(name)})"
            yield from _places_in(child, column, f"{stored}_{number}_child", inner)
    elif kind.kind == "MAP" or (kind.kind in {"LIST", "ARRAY"} and kind.children[0].kind in NESTED):
        yield Place(column, stored, value)


def _refuse_items(connection: kuzu.Connection, name: str, kind: str, place: Place, empty: set[int]) -> None:
    table = engine.quoted(name)
    pattern, owner = (f"(t:{table})", "t") if kind == "NODE" else (f"(a)-[t:{table}]->()", "a")
    group = f"cast(floor(offset(id({owner})) / {GROUP_ROWS}.0) AS INT64)"
    with_items = f"size({place.value}) > 0"
    filled = engine.rows(connection, f"MATCH {pattern} WHERE {with_items} RETURN DISTINCT {group}")
    lost = sorted(empty.intersection(found for [found] in filled))
    if lost:
        first, end = lost[0] * GROUP_ROWS, (lost[0] + 1) * GROUP_ROWS
        rows = f"MATCH {pattern} WHERE offset(id({owner})) >= {first} AND offset(id({owner})) < {end} AND {with_items}"
        raise Unstorable(
            f"Unstorable value: the engine loses what is written to {name}.{place.column} beside stored rows that had "
            f"no item in it. No checkpoint is made until it is taken out: {rows} "
            f"SET t.{engine.quoted(place.column)} = NULL"
        )


def keep_lists(connection: kuzu.Connection, tables: Iterable[str]) -> list[Kept]:
    """What the checkpoint may change of these node tables' new rows.

    Writes, within the connection's transaction if there is one.
    """
    kept: list[Kept] = []
    for name in tables:
        if found := _endangered(connection, name):
            first, owners = found
            kept.append(_keep(connection, name, len(kept), first, owners))
    return kept


def put_back(connection: kuzu.Connection, kept: list[Kept]) -> None:
    """What has been changed is written again, and the copies go; another CHECKPOINT then stores that."""
    for one in kept:
        for index, column in enumerate(one.columns):
            # Only where it has to be: a column with an index cannot be set, and has not been.
            [[rows]] = engine.rows(connection, f"{one.changed(index)} RETURN count(*)")
            if rows:
                engine.run(connection, f"{one.changed(index)} SET t.{column} = x.c{index}").close()
        engine.run(connection, f"DROP TABLE {one.copy}").close()


def _keep(connection: kuzu.Connection, name: str, number: int, first: int, owners: dict[str, str]) -> Kept:
    one = Kept(engine.quoted(name), engine.quoted(f"{_COPY} {number}"), [engine.quoted(owner) for owner in owners])
    types = "".join(f", c{index} {kind}" for index, kind in enumerate(owners.values()))
    engine.run(connection, f"CREATE NODE TABLE {one.copy}(row INT64{types}, PRIMARY KEY(row))").close()
    values = "".join(f", c{index}: t.{column}" for index, column in enumerate(one.columns))
    rows = f"MATCH (t:{one.table}) WHERE offset(id(t)) >= {first}"
    engine.run(connection, f"{rows} CREATE (:{one.copy} {{row: offset(id(t)){values}}})").close()
    return one


def _endangered(connection: kuzu.Connection, name: str) -> tuple[int, dict[str, str]] | None:
    """The first new row of a group with stored ones, and the columns with lists that may all fit its pages."""
    stored = chunks(connection, name, f"{_STORED} AND {_OF_LISTS}")
    if not any(chunk.column.endswith(DATA) for chunk in stored):
        return None
    # As many items as the new rows were made with; they may have been set to others since.
    new: dict[tuple[int, str], int] = {}
    for chunk in chunks(connection, name, f"residency = 'IN_MEMORY' AND column_name ENDS WITH '{DATA}'"):
        new[chunk.group, chunk.column] = new.get((chunk.group, chunk.column), 0) + chunk.values
    owned, firsts = columns(connection, name), []
    owners: dict[str, str] = {}
    for chunk in stored:
        added, stored_rows = new.get((chunk.group, chunk.column)), _rows(chunk, stored)
        if added is None or not stored_rows or _is_nested(chunk.kind) or not _may_fit(chunk, stored, added):
            continue
        held = {column: kind for column, kind, primary in owned if not primary and _holds(column, chunk)}
        if held:
            firsts.append(chunk.group * GROUP_ROWS + stored_rows)
            owners |= held
    return (min(firsts), owners) if owners else None


def _holds(column: str, data: Chunk) -> bool:
    """Whether these are the column's items. Lists inside lists are written anew together with what holds them."""
    return data.column.startswith(f"{column}_") and data.column[len(column) :].count(DATA) == 1


def _may_fit(data: Chunk, stored: list[Chunk], added: int) -> bool:
    """Whether the lists of all stored rows and the new ones may find room behind those that are there.

    An update writes those of all stored rows again. In doubt they may.
    """
    sizes = _sizes(data, stored)
    again = min((int(one.smallest) * one.values for one in sizes), default=0)
    return again + added <= _room(data)


def _room(data: Chunk) -> float:
    if not data.pages:
        return float("inf")
    bits = _BITS.get(data.kind, 1) if data.compression == "UNCOMPRESSED" else 1
    return data.pages * _PAGE_BITS // bits - data.values


def _sizes(data: Chunk, stored: list[Chunk]) -> list[Chunk]:
    column = f"{data.column.removesuffix(DATA)}{_OFFSET}"
    return [one for one in stored if (one.group, one.column, one.kind) == (data.group, column, "UINT32")]


def _rows(data: Chunk, stored: list[Chunk]) -> int:
    return max((one.values for one in _sizes(data, stored)), default=0)


def chunks(connection: kuzu.Connection, table: str, condition: str) -> list[Chunk]:
    """What `storage_info` tells of the table where `condition` holds."""
    wanted = "node_group_id, column_name, data_type, num_pages, num_values, min, compression, residency = 'ON_DISK'"
    text = f"CALL storage_info({engine.text_literal(table)}) WHERE {condition} RETURN {wanted}"
    return [Chunk(*row) for row in engine.rows(connection, text)]


def columns(connection: kuzu.Connection, table: str) -> list[list[Any]]:
    """Name, type and, of a node table's, whether it is the key."""
    found = engine.rows(connection, f"CALL table_info({engine.text_literal(table)}) RETURN *")
    return [[name, kind, last is True] for _, name, kind, _, last in found]
