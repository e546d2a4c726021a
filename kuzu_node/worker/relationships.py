"""Keeps checkpoints from losing relationships beside deleted ones. Used before each CHECKPOINT behind a DELETE.

The engine keeps a table's relationships for each group of nodes, in both directions, and writes only those regions of
a group in which something has changed. If none of these has a relationship left, it gives up the whole group, with all
that its other regions hold; and if what was created has been deleted again, and nothing else happened, the process
dies when it reads the table. So of each group one relationship that is left is changed too, to what it is.
"""

from __future__ import annotations

from collections.abc import Iterable

import kuzu

from kuzu_node.worker import engine
from kuzu_node.worker.unstorable import NOT_SHOWN

# Nodes whose relationships the engine keeps together, counted from the table's first.
_GROUP_NODES = 1 << 17
_ENDS = {"fwd_csr_length": "a", "bwd_csr_length": "b"}
# Better to be written again than others: of a fixed width, and nothing else is known of them.
_PLAIN = ("INT", "SERIAL", "DOUBLE", "FLOAT", "BOOL", "DATE", "TIMESTAMP", "INTERVAL", "UINT", "STRING")


def keep_relationships(connection: kuzu.Connection) -> None:
    """Writes, within the connection's transaction if there is one."""
    for _, name, kind, *_ in engine.rows(connection, "CALL show_tables() RETURN *"):
        stored = _stored(connection, name) if kind == "REL" else {}
        if not stored:
            continue
        change = _change(connection, name)
        for source, target in _ends(connection, name):
            pattern = f"(a:{engine.quoted(source)})-[k:{engine.quoted(name)}]->(b:{engine.quoted(target)})"
            _change_one_each(connection, pattern, change, stored)


def _stored(connection: kuzu.Connection, name: str) -> dict[str, set[int]]:
    """The groups that are in the file, by the end whose nodes they are counted by."""
    text = f"CALL storage_info({engine.text_literal(name)}) WHERE residency = 'ON_DISK'"
    wanted = "RETURN DISTINCT column_name, node_group_id"
    found: dict[str, set[int]] = {}
    try:
        groups = engine.rows(connection, f"{text} AND column_name ENDS WITH '_csr_length' {wanted}")
    except RuntimeError as error:
        if NOT_SHOWN not in str(error):
            raise
        return _possible(connection, name)
    for column, group in groups:
        if column in _ENDS:
            found.setdefault(_ENDS[column], set()).add(group)
    return found


def _possible(connection: kuzu.Connection, name: str) -> dict[str, set[int]]:
    """All groups that the tables at both ends may have."""
    most = 0
    for tables in _ends(connection, name):
        for table in tables:
            [[last]] = engine.rows(connection, f"MATCH (t:{engine.quoted(table)}) RETURN max(offset(id(t)))")
            most = max(most, 0 if last is None else last // _GROUP_NODES)
    return {end: set(range(most + 1)) for end in _ENDS.values()}


def _ends(connection: kuzu.Connection, name: str) -> list[list[str]]:
    return [row[:2] for row in engine.rows(connection, f"CALL show_connection({engine.text_literal(name)}) RETURN *")]


def _change(connection: kuzu.Connection, name: str) -> str:
    """What changes `k` to what it is. Without properties it is made again."""
    columns = engine.rows(connection, f"CALL table_info({engine.text_literal(name)}) RETURN name, type")
    if not columns:
        return f"DELETE k CREATE (a)-[:{engine.quoted(name)}]->(b)"
    chosen = next((column for column, kind in columns if _is_plain(kind)), columns[0][0])
    column = engine.quoted(chosen)
    return f"SET k.{column} = k.{column}"


def _is_plain(kind: str) -> bool:
    return kind.startswith(_PLAIN) and kind != "INT128" and not kind.endswith("]")


def _change_one_each(connection: kuzu.Connection, pattern: str, change: str, stored: dict[str, set[int]]) -> None:
    left = {(end, group) for end, groups in stored.items() for group in groups}
    while left:
        end, group = left.pop()
        text = (
            f"MATCH {pattern} WHERE offset(id({end})) >= {group * _GROUP_NODES} "
            f"AND offset(id({end})) < {(group + 1) * _GROUP_NODES} "
            f"WITH a, k, b LIMIT 1 {change} RETURN offset(id(a)), offset(id(b))"
        )
        left.difference_update(_groups(engine.rows(connection, text)))


def _groups(found: Iterable[list[int]]) -> set[tuple[str, int]]:
    return {(end, offset // _GROUP_NODES) for row in found for end, offset in zip(_ENDS.values(), row, strict=True)}
