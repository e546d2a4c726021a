"""The engine's column types as trees, and the Arrow type in which values of each are handed to it."""

from __future__ import annotations

import re
from typing import NamedTuple

import pyarrow as pa

from kuzu_node.worker.load.refusal import Refused


class ColumnType(NamedTuple):
    """`text` is the type as the engine prints it; `names` are the fields of a STRUCT or the members of a UNION."""

    kind: str
    text: str
    children: tuple[ColumnType, ...] = ()
    names: tuple[str, ...] = ()
    size: int = 0
    precision: int = 0
    scale: int = 0


INTEGERS = {
    "INT8": pa.int8(),
    "INT16": pa.int16(),
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "UINT8": pa.uint8(),
    "UINT16": pa.uint16(),
    "UINT32": pa.uint32(),
    "UINT64": pa.uint64(),
    "SERIAL": pa.int64(),
}
FLOATS = {"FLOAT": pa.float32(), "DOUBLE": pa.float64()}
TIMESTAMPS = {
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMP_MS": pa.timestamp("ms"),
    "TIMESTAMP_SEC": pa.timestamp("s"),
    "TIMESTAMP_NS": pa.timestamp("ns"),
    "TIMESTAMP_TZ": pa.timestamp("us", "UTC"),
}
NESTED = frozenset({"LIST", "ARRAY", "STRUCT", "MAP", "UNION"})
# The engine reads no Arrow type as these, so they travel as text and are cast in the statement.
AS_TEXT = frozenset({"INT128", "UUID", "JSON"})
_LEAVES = {
    "BOOL": pa.bool_(),
    "STRING": pa.string(),
    "BLOB": pa.binary(),
    "DATE": pa.date32(),
    "INTERVAL": pa.month_day_nano_interval(),
    **INTEGERS,
    **FLOATS,
    **TIMESTAMPS,
    **dict.fromkeys(AS_TEXT, pa.string()),
}
_SUFFIX = re.compile(r"^(.*)\[(\d*)\]$", re.DOTALL)
_DECIMAL = re.compile(r"^DECIMAL\((\d+), ?(\d+)\)$", re.IGNORECASE)


def parse_type(text: str) -> ColumnType:
    """The tree of a type as `CALL table_info` prints it. Raises Refused for types that no file can hold."""
    text = text.strip()
    if suffix := _SUFFIX.match(text):
        child = parse_type(suffix[1])
        if suffix[2]:
            return ColumnType("ARRAY", text, (child,), size=int(suffix[2]))
        return ColumnType("LIST", text, (child,))
    if decimal := _DECIMAL.match(text):
        return ColumnType("DECIMAL", text, precision=int(decimal[1]), scale=int(decimal[2]))
    kind, bracket, inner = text.partition("(")
    kind = kind.strip().upper()
    if bracket:
        parts = _split(inner.rstrip()[:-1])
        if kind == "MAP":
            return ColumnType("MAP", text, tuple(parse_type(part) for part in parts))
        if kind in {"STRUCT", "UNION"}:
            pairs = [part.strip().partition(" ") for part in parts]
            return ColumnType(
                kind, text, tuple(parse_type(pair[2]) for pair in pairs), tuple(pair[0] for pair in pairs)
            )
    if kind not in _LEAVES:
        raise Refused(f"columns of type {text} cannot be loaded from a file")
    return ColumnType(kind, text)


def arrow_type(column: ColumnType) -> pa.DataType:
    """What batches hold for the column; the engine takes it as it is, except for what AS_TEXT names."""
    children = [arrow_type(child) for child in column.children]
    match column.kind:
        case "LIST":
            return pa.list_(children[0])
        case "ARRAY":
            return pa.list_(children[0], column.size)
        case "MAP":
            return pa.map_(children[0], children[1])
        case "STRUCT":
            return pa.struct(list(zip(column.names, children, strict=True)))
        case "UNION":
            return pa.dense_union([pa.field(*pair) for pair in zip(column.names, children, strict=True)])
        case "DECIMAL":
            return pa.decimal128(column.precision, column.scale)
    return _LEAVES[column.kind]


def holds(column: ColumnType, kinds: frozenset[str]) -> bool:
    """Whether the type or one inside it is of these kinds."""
    return column.kind in kinds or any(holds(child, kinds) for child in column.children)


def _split(text: str) -> list[str]:
    """Cuts at the commas that stand in no bracket."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        if character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    return [*parts, text[start:]]
