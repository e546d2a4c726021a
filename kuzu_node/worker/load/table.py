"""The table that rows go into, and which column of a file goes into which of its columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import kuzu

from kuzu_node.worker import engine
from kuzu_node.worker.load.refusal import Refused
from kuzu_node.worker.load.types import ColumnType, holds, parse_type


class TargetColumn(NamedTuple):
    """`default` is the engine's expression for rows that do not name the column."""

    name: str
    type_text: str
    default: str


class TargetEnd(NamedTuple):
    """One side of a relationship: a node table and its key."""

    table: str
    key: str
    key_type: str


class Target(NamedTuple):
    """`key` is the primary key of a node table; `pairs` are the (from, to) of a relationship table."""

    name: str
    columns: tuple[TargetColumn, ...]
    key: TargetColumn | None
    pairs: tuple[tuple[TargetEnd, TargetEnd], ...]


class PlannedField(NamedTuple):
    """A column of the file and where it goes; `column` is None for an end of a relationship."""

    source: int
    name: str
    type: ColumnType
    column: TargetColumn | None


class LoadPlan(NamedTuple):
    """Fields in the engine's order: the two ends of a relationship come first."""

    table: Target
    pair: tuple[TargetEnd, TargetEnd] | None
    fields: tuple[PlannedField, ...]


MOST_NAMES, LONGEST_NAME = 20, 100
_MATCHES = frozenset({"name", "position"})
_ENDS = (("from", "to"), ("src", "dst"))


def describe(connection: kuzu.Connection, name: str) -> Target:
    """The table as the catalog has it, by its name in any case."""
    tables = {row[1].lower(): (row[1], row[2]) for row in engine.rows(connection, "CALL show_tables() RETURN *")}
    if name.lower() not in tables:
        raise Refused(f"there is no table {name}", "catalog")
    name, kind = tables[name.lower()]
    columns, key = _columns(connection, name)
    if kind == "NODE":
        return Target(name, columns, key, ())
    if kind != "REL":
        raise Refused(f"rows cannot be loaded into {name}, which is a table of kind {kind}")
    pairs = []
    for source, target, source_key, target_key in engine.rows(
        connection, f"CALL show_connection({engine.text_literal(name)}) RETURN *"
    ):
        pairs.append((_end(connection, source, source_key), _end(connection, target, target_key)))
    return Target(name, columns, None, tuple(pairs))


def plan(table: Target, names: Sequence[str], match: str) -> LoadPlan:
    """Where the columns called `names` go. Raises Refused naming all that fit nowhere."""
    if match not in _MATCHES:
        raise Refused(f"match is name or position, not {match}")
    lowered = [name.lower() for name in names]
    times = Counter(lowered)
    twice = sorted({name for name in names if times[name.lower()] > 1})
    if match == "name" and twice:
        raise Refused(f"the file has more than one column {listed(twice)}")
    if not table.pairs:
        return LoadPlan(table, None, _fields(table, names, range(len(names)), match))
    ends, pair = _find_ends(table, names, match)
    rest = [index for index in range(len(names)) if index not in ends]
    keys = tuple(
        PlannedField(index, names[index], parse_type(end.key_type), None) for index, end in zip(ends, pair, strict=True)
    )
    return LoadPlan(table, pair, keys + _fields(table, names, rest, match))


def listed(names: Sequence[str]) -> str:
    """Some of the names for a message: a file may have a million, each as long as a line."""
    shown = ", ".join(name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "..." for name in names[:MOST_NAMES])
    return shown if len(names) <= MOST_NAMES else f"{shown} and {len(names) - MOST_NAMES} more"


def quoted(name: str) -> str:
    """A name of the catalog as an identifier; the engine keeps doubled backticks as they were written."""
    return f"`{name}`"


def _columns(connection: kuzu.Connection, name: str) -> tuple[tuple[TargetColumn, ...], TargetColumn | None]:
    columns, key = [], None
    for row in engine.rows(connection, f"CALL table_info({engine.text_literal(name)}) RETURN *"):
        column = TargetColumn(row[1], row[2], row[3] or "NULL")
        columns.append(column)
        if row[4] is True:
            key = column
    return tuple(columns), key


def _end(connection: kuzu.Connection, table: str, key: str) -> TargetEnd:
    columns, _ = _columns(connection, table)
    return TargetEnd(table, key, next(column.type_text for column in columns if column.name == key))


def _fields(table: Target, names: Sequence[str], indexes: Sequence[int], match: str) -> tuple[PlannedField, ...]:
    if match == "position":
        columns = _by_position(table, [names[index] for index in indexes])
    else:
        columns = _by_name(table, [names[index] for index in indexes])
    if table.key is not None and table.key not in columns and table.key.type_text != "SERIAL":
        raise Refused(f"the file has no column for the key {table.key.name} of {table.name}")
    fields = []
    for index, column in zip(indexes, columns, strict=True):
        kind = parse_type(column.type_text)
        if any(holds(child, frozenset({"UNION"})) for child in kind.children):
            raise Refused(f"column {column.name}: a UNION inside {kind.text} cannot be loaded from a file")
        fields.append(PlannedField(index, names[index], kind, column))
    return tuple(fields)


def _by_name(table: Target, names: Sequence[str]) -> list[TargetColumn]:
    known = {column.name.lower(): column for column in table.columns}
    known |= {column.name.replace("``", "`").lower(): column for column in table.columns}
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        have = ", ".join(column.name for column in table.columns) or "no columns"
        raise Refused(f"unknown columns: {listed(unknown)}; {table.name} has {have}")
    return [known[name.lower()] for name in names]


def _by_position(table: Target, names: Sequence[str]) -> list[TargetColumn]:
    """In the table's order; a SERIAL key takes part only when the file has a column for every column."""
    columns = list(table.columns)
    if len(names) < len(columns):
        columns = [column for column in columns if column.type_text != "SERIAL"]
    if len(names) > len(columns):
        raise Refused(f"the file has {len(names)} columns for the {len(columns)} of {table.name}")
    return columns[: len(names)]


def _find_ends(table: Target, names: Sequence[str], match: str) -> tuple[tuple[int, int], tuple[TargetEnd, TargetEnd]]:
    """`from` and `to`, else `src` and `dst`, else the first two; `from:A` and `to:B` also name the tables."""
    if len(names) < 2:
        raise Refused(f"a file for {table.name} needs two columns for the ends of its relationships")
    properties = {column.name.lower() for column in table.columns}
    plain = [name.lower().partition(":")[0] for name in names]
    found = (0, 1)
    if match == "name":
        for source, target in _ENDS:
            if source in plain and target in plain and not {source, target} & properties:
                found = (plain.index(source), plain.index(target))
                break
    labels = [names[index].partition(":")[2].strip() for index in found]
    return found, _pair(table, labels)


def _pair(table: Target, labels: list[str]) -> tuple[TargetEnd, TargetEnd]:
    fitting = [
        pair
        for pair in table.pairs
        if all(not label or label.lower() == end.table.lower() for label, end in zip(labels, pair, strict=True))
    ]
    if len(fitting) == 1:
        return fitting[0]
    pairs = ", ".join(f"{source.table} to {target.table}" for source, target in table.pairs)
    hint = f"from:{table.pairs[0][0].table} and to:{table.pairs[0][1].table}"
    raise Refused(f"{table.name} connects {pairs}: name the columns of the ends with their tables, such as {hint}")
