"""Which way a result can be fetched, by the types of its columns. Each of the engine's two ways kills on something.

Rows crash on dates and timestamps that Python's cannot hold, cut nanoseconds, widen FLOAT and raise on MAP keys that
cannot be hashed. Arrow crashes on a NULL of a UNION, at any depth. A result that has both goes by rows: a NULL in a
UNION is an everyday value, a year beyond 9999 is not.
"""

from __future__ import annotations

import enum
import re

import kuzu

PLAIN = frozenset(
    {
        *("BOOL", "STRING", "DOUBLE", "FLOAT", "UUID", "BLOB", "INTERNAL_ID", "SERIAL", "json"),
        *("INT8", "INT16", "INT32", "INT64", "INT128", "UINT8", "UINT16", "UINT32", "UINT64"),
    }
)
# Lists of these need no look at their items on the way by rows.
_PLAIN_ITEMS = PLAIN - {"FLOAT", "INT128"}
_DECIMAL = re.compile(r"DECIMAL\(\d+, \d+\)")
_DIMENSIONS = re.compile(r"(\[\d*\])+$")
_GRAPH = re.compile(r"\b(NODE|REL|RECURSIVE_REL)\b")


class Route(enum.Enum):
    """ROWS: rows first or only, exact. ARROW: Arrow only. VALUES: rows only, each value looked at for what it is."""

    ROWS = enum.auto()
    ARROW = enum.auto()
    VALUES = enum.auto()


def route(types: list[str], unions: bool) -> Route:
    """`unions`: nodes and relationships, whose types do not name their properties', may hold a UNION."""
    if all(name in PLAIN for name in types):
        return Route.ROWS
    if any("UNION(" in name or (unions and _GRAPH.search(name)) for name in types):
        return Route.VALUES
    return Route.ROWS if all(_is_plain(name) for name in types) else Route.ARROW


def is_decimal(name: str) -> bool:
    return name == "INT128" or _DECIMAL.fullmatch(name) is not None


def _is_plain(name: str) -> bool:
    return name in PLAIN or is_decimal(name) or _DIMENSIONS.sub("", name) in _PLAIN_ITEMS


def has_unions(connection: kuzu.Connection) -> bool:
    """Whether a table of the database has a property with a UNION in it: to be asked at opening and after DDL."""
    tables = connection.execute("CALL show_tables() RETURN name, type")
    assert isinstance(tables, kuzu.QueryResult)
    for name, _ in tables.get_all():
        quoted = str(name).replace("\\", "\\\\").replace("'", "\\'")
        properties = connection.execute(f"CALL table_info('{quoted}') RETURN type")
        assert isinstance(properties, kuzu.QueryResult)
        if any("UNION(" in kind for (kind,) in properties.get_all()):
            return True
    return False
