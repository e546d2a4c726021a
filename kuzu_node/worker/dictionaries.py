"""Keeps checkpoints from scrambling strings. Used around each CHECKPOINT and each COMMIT that checkpoints.

A column of strings is stored as numbers into a dictionary, packed as differences to the smallest. New rows that are all
NULL are written as number 0 without asking whether that can be packed: the smallest becomes 0, and every number in that
group of rows is read as another. A column that is updated as well is written anew, and rightly, so one of the stored
rows is set to what it holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import kuzu

from kuzu_node.worker import engine
from kuzu_node.worker.unstorable import NOT_SHOWN

# Rows of a table that the engine keeps together, counted from the table's first.
_GROUP_ROWS = 1 << 17
# Where rows are added: the last group, and those that a large load has filled.
_LAST_GROUPS = 3
_INDEX, _NULLS = "_index", "_null"
_PACKED = "residency = 'ON_DISK' AND data_type = 'UINT32' AND compression STARTS WITH 'INTEGER_BITPACKING'"
_NULLS_OF_NEW = "residency = 'IN_MEMORY' AND data_type = 'BOOL' AND num_values > 0"


class Scrambled(RuntimeError):
    """A checkpoint has ruined a column: the files that were set aside are the good ones."""


class Numbers(NamedTuple):
    """Those of one group of a table's rows, none of them 0. `column` is `s_index` for the property `s`.

    `rows` of the group are stored; the numbers begin on `page`.
    """

    table: str
    group: int
    column: str
    page: int
    rows: int


class Dictionaries:
    """`protect` before the engine checkpoints; `verify` after it, with what `protect` has found.

    `careful`: what the log gave back may be what `verify` has refused in the process before.
    """

    def __init__(self, *, careful: bool = True) -> None:
        self._careful = careful

    def protect(self, connection: kuzu.Connection, tables: Iterable[str]) -> list[Numbers]:
        """What `verify` has to look at, of node tables with new rows.

        Writes, within the connection's transaction if there is one.
        """
        careful, self._careful = self._careful, False
        found: list[Numbers] = []
        for name in tables:
            try:
                packed = _packed(connection, name)
                found += _rewritten(connection, packed, careful=careful) if packed else []
            except RuntimeError as error:
                if NOT_SHOWN not in str(error):
                    raise
                # A new row has held what cannot be stored, and holds something else by now.
                _touch_unseen(connection, name)
        return found


def verify(connection: kuzu.Connection, found: Iterable[Numbers]) -> None:
    """Raises Scrambled where a 0 has come among numbers that are where they were."""
    stored = {(one.table, one.group, one.column, one.page) for one in found}
    for table in {one[0] for one in stored}:
        for group, column, page, smallest in _storage(
            connection, table, _PACKED, "node_group_id, column_name, start_page_idx, min"
        ):
            if smallest == "0" and (table, group, column, page) in stored:
                raise Scrambled(f"the checkpoint has scrambled strings of {table} ({column.removesuffix(_INDEX)})")


def _storage(connection: kuzu.Connection, table: str, condition: str, wanted: str) -> list[list[Any]]:
    text = f"CALL storage_info({engine.text_literal(table)}) WHERE {condition} RETURN {wanted}"
    return engine.rows(connection, text)


def _packed(connection: kuzu.Connection, table: str) -> list[Numbers]:
    """Numbers that a 0 would scramble: the smallest is not 0, and they are packed more tightly for that."""
    wanted = "node_group_id, column_name, start_page_idx, num_values, max, compression"
    found = []
    for group, column, page, rows, largest, compression in _storage(
        connection, table, f"{_PACKED} AND min <> '0' AND column_name ENDS WITH '{_INDEX}'", wanted
    ):
        bits = int(compression.partition("[")[2].rstrip("]"))
        if bits < int(largest).bit_length():
            found.append(Numbers(table, group, column, page, rows))
    return found


def _rewritten(connection: kuzu.Connection, packed: list[Numbers], *, careful: bool) -> list[Numbers]:
    """Has the engine write those anew that it would scramble, and with `careful` all that get new rows.

    Without the groups of which no row is left to be read.
    """
    table = packed[0].table
    # New rows of a column: whether some of them were not NULL when they were made. They may have been set to NULL
    # since, which is not seen here and left to `verify`.
    filled: dict[tuple[int, str], bool] = {}
    for group, column, smallest in _storage(connection, table, _NULLS_OF_NEW, "node_group_id, column_name, min"):
        filled[group, column] = filled.get((group, column), False) or smallest == "False"
    endangered: dict[int, list[Numbers]] = {}
    for one in packed:
        nulls = one.group, one.column.removesuffix(_INDEX) + _NULLS
        if nulls in filled and (careful or not filled[nulls]):
            endangered.setdefault(one.group, []).append(one)
    lost: set[int] = set()
    for group, numbers in endangered.items():
        if not _touch(connection, table, group, numbers):
            lost.add(group)
    return [one for one in packed if one.group not in lost]


def _touch(connection: kuzu.Connection, table: str, group: int, numbers: list[Numbers]) -> bool:
    """Sets the columns of one stored row of the group to what they hold. Whether there is such a row."""
    first = group * _GROUP_ROWS
    text = f"CALL table_info({engine.text_literal(table)}) RETURN name, `primary key`"
    columns = [
        name
        for name, primary in engine.rows(connection, text)
        if not primary and any(one.column.startswith(f"{name}_") for one in numbers)
    ]
    return _set_to_itself(connection, table, columns, first, first + max(one.rows for one in numbers))


def _touch_unseen(connection: kuzu.Connection, table: str) -> None:
    """The first row of each group that may get new rows, in every column that may hold strings."""
    text = f"CALL table_info({engine.text_literal(table)}) RETURN name, type, `primary key`"
    columns = [
        name
        for name, kind, primary in engine.rows(connection, text)
        if not primary and any(word in kind for word in ("STRING", "BLOB", "JSON"))
    ]
    [[last]] = engine.rows(connection, f"MATCH (t:{engine.quoted(table)}) RETURN max(offset(id(t)))")
    group = 0 if last is None else last // _GROUP_ROWS
    for number in range(max(0, group - _LAST_GROUPS + 1), group + 1):
        _set_to_itself(connection, table, columns, number * _GROUP_ROWS, (number + 1) * _GROUP_ROWS)


def _set_to_itself(connection: kuzu.Connection, table: str, columns: list[str], first: int, end: int) -> bool:
    """One row from `first` up to `end`, the earliest of them that there is. Whether there is one."""
    if not columns:
        return True
    row = f"MATCH (t:{engine.quoted(table)}) WHERE offset(id(t)) >= {first} AND offset(id(t)) < {end}"
    [[earliest]] = engine.rows(connection, f"{row} RETURN min(offset(id(t)))")
    if earliest is None:
        return False
    changes = ", ".join(f"t.{name} = t.{name}" for name in map(engine.quoted, columns))
    text = f"MATCH (t:{engine.quoted(table)}) WHERE offset(id(t)) = {earliest} SET {changes}"
    engine.run(connection, text).close()
    return True
