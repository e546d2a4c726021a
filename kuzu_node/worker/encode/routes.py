"""Which way a result can be fetched, by the types of its columns. Each of the engine's two ways kills on something.

Rows crash on dates and timestamps that Python's cannot hold, cut nanoseconds, widen FLOAT, and raise on MAP keys that
cannot be hashed and on DECIMALs between -1 and 0. Arrow crashes on a NULL of a UNION, and after a NULL of an ARRAY
whose items have no fixed width it holds garbage; both at any depth. What could meet both goes by rows: NULL is an
everyday value, a year beyond 9999 not.
"""

from __future__ import annotations

import enum
import re

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
# What Arrow cannot be trusted with when it is NULL.
_UNSOUND = re.compile(r"UNION\(|(STRING|BLOB|UUID|json|\]|\))\[\d+\]")
_GRAPH = re.compile(r"\b(NODE|REL|RECURSIVE_REL)\b")


class Route(enum.Enum):
    """ROWS: rows first or only, exact. ARROW: Arrow only. VALUES: rows only, each value looked at for what it is."""

    ROWS = enum.auto()
    ARROW = enum.auto()
    VALUES = enum.auto()


def route(types: list[str], unsound: bool) -> Route:
    """`unsound`: some table has a property for which `is_unsound`; types of nodes do not tell those of properties."""
    if all(name in PLAIN for name in types):
        return Route.ROWS
    if any(is_unsound(name) or (unsound and _GRAPH.search(name)) for name in types):
        return Route.VALUES
    return Route.ROWS if all(_is_plain(name) for name in types) else Route.ARROW


def is_decimal(name: str) -> bool:
    return name == "INT128" or _DECIMAL.fullmatch(name) is not None


def _is_plain(name: str) -> bool:
    return name in PLAIN or _DIMENSIONS.sub("", name) in _PLAIN_ITEMS


def is_unsound(name: str) -> bool:
    """Whether a NULL in a property of this type cannot go by Arrow."""
    return _UNSOUND.search(name) is not None
