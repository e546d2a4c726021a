"""Rows as the engine hands them out, made fit for msgspec."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import struct
from collections.abc import Callable, Iterator
from typing import Any

import kuzu
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from kuzu_node.worker.encode import temporal
from kuzu_node.worker.encode.routes import Route, is_decimal
from kuzu_node.worker.encode.strings import json_key, without_separators

Repair = Callable[[list[Any]], list[Any]]


def fetch(result: kuzu.QueryResult, count: int, repairs: list[tuple[int, Repair]]) -> list[list[Any]]:
    """The next `count` rows, of which the result must have that many."""
    rows: list[Any] = [result.get_next() for _ in range(count)]
    for index, repair in repairs:
        for row, value in zip(rows, repair([row[index] for row in rows]), strict=True):
            row[index] = value
    return rows


def repairs_for(types: list[str], route: Route) -> list[tuple[int, Repair]]:
    """By column, what has to be done to its values; nothing for most types."""
    if route is Route.VALUES:
        return [(index, convert_values) for index in range(len(types))]
    repairs: list[tuple[int, Repair]] = []
    for index, name in enumerate(types):
        if name == "FLOAT":
            repairs.append((index, shorten_floats))
        elif is_decimal(name):
            repairs.append((index, _write_decimals))
    return repairs


def json_objects(names: list[str], rows: list[list[Any]]) -> Iterator[bytes]:
    """Each row as a JSON object."""
    encode = msgspec.json.Encoder().encode
    for row in rows:
        yield without_separators(encode(dict(zip(names, row, strict=True))))


def shorten_floats(values: list[Any]) -> list[Any]:
    """Doubles that read as the FLOATs did that the engine has widened: 0.1 for 0.10000000149."""
    texts = pc.cast(pa.array(values, pa.float32()), pa.string()).to_pylist()
    return [None if text is None else float(text) for text in texts]


def convert_values(values: list[Any]) -> list[Any]:
    """Values of any type, told by what they are."""
    return [_convert(value) for value in values]


def _write_decimals(values: list[Any]) -> list[Any]:
    return [None if value is None else format(value, "f") for value in values]


def _convert(value: Any) -> Any:
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, dt.date | dt.timedelta):
        return temporal.python_text(value)
    if isinstance(value, list):
        return [_convert(item) for item in value]
    if isinstance(value, dict):
        return {json_key(_convert(key)): _convert(item) for key, item in value.items()}
    return value


def _float(value: float) -> float | None:
    """A number that a FLOAT can hold exactly is taken for one: members of a UNION do not tell their type."""
    if not math.isfinite(value):
        return None
    try:
        (narrow,) = struct.unpack("f", struct.pack("f", value))
    except OverflowError:
        return value
    return shorten_floats([value])[0] if narrow == value else value
