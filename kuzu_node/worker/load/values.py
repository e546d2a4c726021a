"""Arrays of a file turned into the arrays that a column takes: by Arrow where it can, value by value where it cannot.

The slow way knows more (years beyond 9999, offsets, ISO intervals, rounding) and says what is wrong with which row.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from kuzu_node.worker.load.leaves import LEAVES
from kuzu_node.worker.load.refusal import bounded
from kuzu_node.worker.load.types import AS_TEXT, FLOATS, INTEGERS, NESTED, TIMESTAMPS, ColumnType, arrow_type, holds

Value = Callable[[Any], Any]
# Rows that cannot be loaded: index in the batch and why.
Bad = list[tuple[int, str]]
_FLOORS = {"s": "second", "ms": "millisecond", "us": "microsecond", "ns": "nanosecond"}
# Text in these forms means the same to Arrow as to `leaves`; everything else in text goes value by value.
_ARROW_READS_TEXT = frozenset({"BOOL", "DATE", "DECIMAL", *INTEGERS, *FLOATS, *TIMESTAMPS})


def convert(array: pa.Array, column: ColumnType) -> tuple[pa.Array, Bad]:
    """The array as the column takes it; bad rows are null in it."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    whole = fast(array, column)
    if whole is not None:
        return whole, []
    if _is_text(array.type) and column.kind in NESTED and column.kind != "UNION":
        # Nested values of a CSV are JSON text, as in the answers.
        return build([_Text(text) if text else None for text in array.to_pylist()], column)
    values = array.to_pylist()
    if _is_text(array.type) and column.kind not in {"STRING", "BLOB"}:
        values = [value or None for value in values]
    return build(values, column)


def build(values: Sequence[Any], column: ColumnType) -> tuple[pa.Array, Bad]:
    """An array of Python values, one by one; bad ones are null in it."""
    value = value_of(column)
    built: list[Any] = []
    bad: Bad = []
    for index, given in enumerate(values):
        try:
            built.append(None if given is None else value(given))
        except (ValueError, TypeError, ArithmeticError) as error:
            bad.append((index, bounded(str(error))))
            built.append(None)
    return _array(built, column), bad


def value_of(column: ColumnType) -> Value:
    """What turns one value (from JSON or from Arrow) into what `pa.array` takes; raises ValueError."""
    children = [_nullable(value_of(child)) for child in column.children]
    match column.kind:
        case "LIST" | "ARRAY":
            return lambda given: _list(given, children[0], column)
        case "STRUCT":
            return lambda given: _struct(given, children, column)
        case "MAP":
            return lambda given: _map(given, children[0], children[1], column)
        case "UNION":
            return lambda given: _member(given, children, column)
    leaf = LEAVES[column.kind]
    return lambda given: leaf(given, column)


class _Text(str):
    """JSON text that stands for a nested value."""

    __slots__ = ()


def fast(array: pa.Array, column: ColumnType) -> pa.Array | None:
    """By Arrow alone, or None when it cannot or would mean something else."""
    kind, source, target = column.kind, array.type, arrow_type(column)
    if pa.types.is_null(source):
        return _array([None] * len(array), column)
    if holds(column, AS_TEXT) or kind == "UNION":
        return None
    if source == target:
        return array
    if _is_text(source):
        if kind == "STRING":
            return pc.cast(array, target)
        if kind not in _ARROW_READS_TEXT:
            return None
        if kind in INTEGERS and pc.any(pc.match_substring(array, "x", ignore_case=True)).as_py():
            return None
    elif pa.types.is_timestamp(source) and (kind in TIMESTAMPS or kind == "DATE"):
        return _rescaled(array, target)
    elif kind in {"STRING", "BLOB"} and pa.types.is_nested(source):
        return None
    elif pa.types.is_binary(source) and kind != "BLOB":
        # Text without the mark of text, as some writers of Parquet leave it.
        return _text_of_bytes(array, column)
    try:
        return pc.cast(array, target)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return None


def _text_of_bytes(array: pa.Array, column: ColumnType) -> pa.Array | None:
    try:
        return fast(pc.cast(array, pa.string()), column)
    except pa.ArrowInvalid:
        return None


def _rescaled(array: pa.Array, target: pa.DataType) -> pa.Array | None:
    """Finer digits are cut off; a coarser unit that would overflow is left to the slow way."""
    try:
        return pc.cast(array, target)
    except pa.ArrowInvalid:
        pass
    if pa.types.is_timestamp(target) and _fineness(array.type) < _fineness(target):
        return None
    unit = "day" if pa.types.is_date(target) else _FLOORS[target.unit]
    return pc.cast(pc.floor_temporal(array, unit=unit), target)


def _fineness(kind: pa.DataType) -> int:
    return ("s", "ms", "us", "ns").index(kind.unit)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _array(values: list[Any], column: ColumnType) -> pa.Array:
    """Of values that `value_of` has made."""
    return _union(values, column) if column.kind == "UNION" else pa.array(values, arrow_type(column))


def _union(values: list[Any], column: ColumnType) -> pa.Array:
    tags = [0 if value is None else value[0] for value in values]
    members: list[list[Any]] = [[] for _ in column.children]
    offsets = []
    for tag, value in zip(tags, values, strict=True):
        offsets.append(len(members[tag]))
        members[tag].append(None if value is None else value[1])
    children = [_array(member, child) for member, child in zip(members, column.children, strict=True)]
    indexes = pa.array(tags, pa.int8()), pa.array(offsets, pa.int32())
    return pa.UnionArray.from_dense(*indexes, children, list(column.names))


def _nullable(value: Value) -> Value:
    return lambda given: None if given is None else value(given)


def _decoded(given: Any, column: ColumnType) -> Any:
    if not isinstance(given, _Text):
        return given
    try:
        return msgspec.json.decode(str(given))
    except ValueError as error:
        raise ValueError(f"a value of {column.text} is JSON text here: {error}") from None


def _list(given: Any, item: Value, column: ColumnType) -> list[Any]:
    given = _decoded(given, column)
    if not isinstance(given, list):
        raise ValueError(f"{column.text} needs an array")
    if column.kind == "ARRAY" and len(given) != column.size:
        raise ValueError(f"{column.text} needs {column.size} values, not {len(given)}")
    return [item(value) for value in given]


def _struct(given: Any, fields: list[Value], column: ColumnType) -> dict[str, Any]:
    given = _decoded(given, column)
    if not isinstance(given, dict):
        raise ValueError(f"{column.text} needs an object")
    known = {name.lower(): index for index, name in enumerate(column.names)}
    built: dict[str, Any] = dict.fromkeys(column.names)
    for name, value in given.items():
        index = known.get(name.lower())
        if index is None:
            raise ValueError(f"{column.text} has no field {name}")
        built[column.names[index]] = fields[index](value)
    return built


def _map(given: Any, key: Value, item: Value, column: ColumnType) -> list[tuple[Any, Any]]:
    given = _decoded(given, column)
    if isinstance(given, dict):
        # Keys that are no text are written as JSON text.
        nested = column.children[0].kind in NESTED
        return [(key(_Text(name) if nested else name), item(value)) for name, value in given.items()]
    if not isinstance(given, list):
        raise ValueError(f"{column.text} needs an object")
    return [(key(pair[0]), item(pair[1])) for pair in given]


def _member(given: Any, members: list[Value], column: ColumnType) -> tuple[int, Any]:
    """The first member whose own kind of value it is, else the first that can read it."""
    reasons = []
    natural = [index for index, child in enumerate(column.children) if _natural(given, child.kind)]
    for index in [*natural, *range(len(members))]:
        try:
            return index, members[index](given)
        except (ValueError, TypeError, ArithmeticError) as error:
            reasons.append(str(error))
    raise ValueError(f"no member of {column.text} takes it: {'; '.join(dict.fromkeys(reasons))}")


def _natural(given: Any, kind: str) -> bool:
    if isinstance(given, bool):
        return kind == "BOOL"
    if isinstance(given, int):
        return kind in INTEGERS or kind == "INT128"
    if isinstance(given, float | decimal.Decimal):
        return kind in FLOATS or kind == "DECIMAL"
    return False
