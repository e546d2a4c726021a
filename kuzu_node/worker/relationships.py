"""Keeps checkpoints from losing relationships, or giving them other ends. Used around each CHECKPOINT.

The engine keeps a table's relationships for each group of nodes, in both directions, and writes only those regions of
a group in which something has changed. If none of these has a relationship left, it gives up the whole group, with all
that its other regions hold; and if what was created has been deleted again, and nothing else happened, the process
dies when it reads the table. So behind a DELETE one relationship of each group is made again.

Where a property is SET in a region that has no room left, the engine moves the region's rows in that column alone: the
relationships then have others' ends. And lists that relationships have are given to others. Both are found out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import kuzu

from kuzu_node.worker import engine
from kuzu_node.worker.facts import Facts
from kuzu_node.worker.faults import Scrambled, Unstorable

# Nodes whose relationships the engine keeps together, counted from the table's first, and those of a region.
_GROUP_NODES = 1 << 17
_REGION_NODES = 1 << 10
_ENDS = {"fwd_csr_length": "a", "bwd_csr_length": "b"}
_PRIME = 1_000_003
# From here on ids are those of a transaction that is open.
_UNCOMMITTED = 1 << 62


class Table(NamedTuple):
    """Relationships, some of which are stored; `patterns` from `a` by `k` to `b`, for each pair of tables."""

    name: str
    columns: list[list[str]]
    patterns: list[str]


class Sums(NamedTuple):
    """What reading `text` gave before a checkpoint."""

    table: str
    text: str
    values: list[list[Any]]


def protect(connection: kuzu.Connection, facts: Facts, *, careful: bool) -> list[Sums]:
    """What `verify` has to read again. Writes, within the connection's transaction if there is one.

    `careful`: a checkpoint of what is to be stored has failed `verify`. Raises Unstorable where nothing helps.
    """
    found: list[Sums] = []
    for _, name, kind, *_ in engine.rows(connection, "CALL show_tables() RETURN *"):
        stored = _stored(connection, name) if kind == "REL" else {}
        if not stored:
            continue
        table = _table(connection, name)
        lists = [column for column, text in table.columns if "[" in text or "MAP(" in text]
        updated = facts.updated and any(facts.names(column) for column, _ in table.columns)
        moved = bool(lists) and (updated or facts.deleted or _has_new(connection, name))
        if careful and moved:
            raise Unstorable(
                f"Unstorable value: the engine gives the lists of relationships of {name} ({', '.join(lists)}) to "
                "others when it stores this beside those that are there. No checkpoint is made: move what they hold "
                "to nodes or to texts and drop the table"
            )
        if careful and updated:
            _remake_one_each(connection, table, _regions(connection, table), _REGION_NODES)
        elif facts.deleted:
            _remake_one_each(connection, table, stored, _GROUP_NODES)
        if updated or moved:
            found += [Sums(name, text, engine.rows(connection, text)) for text in _sums(connection, table, lists)]
    return found


def verify(connection: kuzu.Connection, found: Iterable[Sums]) -> None:
    """Raises Scrambled where relationships have other ends or lists than before."""
    for one in found:
        if engine.rows(connection, one.text) != one.values:
            raise Scrambled(f"the checkpoint has scrambled relationships of {one.table}")


def _table(connection: kuzu.Connection, name: str) -> Table:
    literal = engine.text_literal(name)
    columns = engine.rows(connection, f"CALL table_info({literal}) RETURN name, type")
    ends = engine.rows(connection, f"CALL show_connection({literal}) RETURN *")
    names = [tuple(map(engine.quoted, (source, name, target))) for source, target, *_ in ends]
    return Table(name, columns, [f"(a:{source})-[k:{own}]->(b:{target})" for source, own, target in names])


def _stored(connection: kuzu.Connection, name: str) -> dict[str, set[int]]:
    """The groups that are in the file, by the end whose nodes they are counted by."""
    text = f"CALL storage_info({engine.text_literal(name)}) WHERE residency = 'ON_DISK'"
    wanted = "RETURN DISTINCT column_name, node_group_id"
    found: dict[str, set[int]] = {}
    for column, group in engine.rows(connection, f"{text} AND column_name ENDS WITH '_csr_length' {wanted}"):
        if column in _ENDS:
            found.setdefault(_ENDS[column], set()).add(group)
    return found


def _has_new(connection: kuzu.Connection, name: str) -> bool:
    text = f"CALL storage_info({engine.text_literal(name)}) WHERE residency = 'IN_MEMORY' AND num_values > 0"
    return engine.rows(connection, f"{text} RETURN count(*)") != [[0]]


def _regions(connection: kuzu.Connection, table: Table) -> dict[str, set[int]]:
    """Where there are relationships."""
    found: dict[str, set[int]] = {end: set() for end in _ENDS.values()}
    for pattern in table.patterns:
        for end, numbers in found.items():
            text = f"MATCH {pattern} RETURN DISTINCT offset(id({end})) / {_REGION_NODES}"
            numbers.update(number for [number] in engine.rows(connection, text))
    return found


def _remake_one_each(connection: kuzu.Connection, table: Table, places: dict[str, set[int]], nodes: int) -> None:
    """In each place that has one; each is one of `nodes` nodes. Setting one instead could move a region."""
    names = [engine.quoted(column) for column, _ in table.columns]
    values = "".join(f", k.{name} AS p{number}" for number, name in enumerate(names))
    given = ", ".join(f"{name}: p{number}" for number, name in enumerate(names))
    again = f"DELETE k CREATE (a)-[:{engine.quoted(table.name)} {{{given}}}]->(b)"
    for pattern in table.patterns:
        left = {(end, number) for end, numbers in places.items() for number in numbers}
        while left:
            end, number = left.pop()
            made = engine.rows(
                connection,
                f"MATCH {pattern} WHERE offset(id({end})) >= {number * nodes} "
                f"AND offset(id({end})) < {(number + 1) * nodes} WITH a, k, b{values} LIMIT 1 {again} "
                "RETURN offset(id(a)), offset(id(b))",
            )
            for source, target in made:
                left -= {("a", source // nodes), ("b", target // nodes)}


def _sums(connection: kuzu.Connection, table: Table, lists: list[str]) -> list[str]:
    """Texts that read by both of its ends each relationship that has the id it will have.

    Remainders, since an overflow would be an error.
    """
    number, ends = f"offset(id(k)) % {_PRIME} + 1", f"(offset(id(a)) % {_PRIME} * 31 + offset(id(b))) % {_PRIME}"
    wanted = ["count(*)", f"sum({ends} * ({number}))"]
    for column in lists:
        items = f"cast(hash(cast(k.{engine.quoted(column)} AS STRING)) % {_PRIME} AS INT64)"
        wanted.append(f"sum({items} * ({number}))")
    texts = []
    for pattern in table.patterns:
        ids = engine.rows(connection, f"MATCH {pattern} WHERE offset(id(k)) < {_UNCOMMITTED} RETURN max(offset(id(k)))")
        if ids[0][0] is not None:
            texts += [
                f"MATCH {pattern} WHERE offset(id(k)) <= {ids[0][0]} HINT {order} RETURN {', '.join(wanted)}"
                for order in ("(a JOIN k) JOIN b", "a JOIN (k JOIN b)")
            ]
    return texts
