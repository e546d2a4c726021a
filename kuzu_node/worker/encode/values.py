"""Arrow columns as Python's values, fit for msgspec: for few rows, where the calls of `text` cost more than a loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from kuzu_node.worker.encode import temporal, text
from kuzu_node.worker.encode.repair import field_names, list_parts
from kuzu_node.worker.encode.strings import json_key


def python_values(array: pa.Array) -> list[Any]:
    """The values of a column, which msgspec writes as `text.json_text` would."""
    if array.null_count == len(array):
        return [None] * len(array)
    if text.is_nested(array.type):
        return _nested(array)
    if pa.types.is_float32(array.type):
        return [None if digits is None else float(digits) for digits in text.bare_text(array)[0].to_pylist()]
    write = _writer(array.type)
    if write is not None:
        counts = (
            array
            if pa.types.is_decimal(array.type)
            else array.view(pa.int32() if pa.types.is_date32(array.type) else pa.int64())
        )
        return [None if value is None else write(value) for value in counts.to_pylist()]
    plain: list[Any] = array.to_pylist()
    return plain


def _writer(kind: pa.DataType) -> Callable[[Any], str] | None:
    if pa.types.is_date32(kind):
        return temporal.civil_date
    if pa.types.is_timestamp(kind):
        return temporal.timestamp_writer(kind)
    if pa.types.is_duration(kind):
        return temporal.duration
    if pa.types.is_decimal(kind):
        return lambda value: format(value, "f")
    return None


def _nested(array: pa.Array) -> list[Any]:
    kind = array.type
    valid = array.is_valid().to_pylist() if array.null_count else [True] * len(array)
    if pa.types.is_struct(kind):
        names = field_names(kind)
        fields = [python_values(array.field(index)) for index in range(kind.num_fields)]
        objects = zip(*fields, strict=True) if fields else [()] * len(array)
        return [
            dict(zip(names, row, strict=True)) if there else None for row, there in zip(objects, valid, strict=True)
        ]
    offsets, items = list_parts(array)
    bounds = offsets.to_pylist()
    spans = list(zip(bounds, bounds[1:], valid, strict=False))
    if pa.types.is_map(kind):
        entries = list(zip(map(json_key, python_values(items.field(0))), python_values(items.field(1)), strict=True))
        return [dict(entries[start:end]) if there else None for start, end, there in spans]
    values = python_values(items)
    return [values[start:end] if there else None for start, end, there in spans]
