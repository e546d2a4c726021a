"""JSON text of whole Arrow columns, without a Python object for a value; every type of the engine but UNION.

A column becomes a list of parts, constants and string arrays, that are joined row by row in one call; structs without
nulls put their parts between those of the row around them.
"""

from __future__ import annotations

import base64
import decimal

import pyarrow as pa
import pyarrow.compute as pc

from kuzu_node.worker.encode import temporal
from kuzu_node.worker.encode.repair import field_names, list_parts
from kuzu_node.worker.encode.strings import escape_json, json_string

Parts = list[str | pa.Array]


def row_parts(batch: pa.RecordBatch) -> Parts:
    """The rows of `batch` as JSON objects."""
    return object_parts(batch.schema.names, batch.columns)


def object_parts(names: list[str], columns: list[pa.Array]) -> Parts:
    """Objects with these keys, the values of each from one column."""
    parts: Parts = []
    for index, (name, column) in enumerate(zip(names, columns, strict=True)):
        parts.append(f"{',' if index else '{'}{json_string(name)}:")
        parts += json_parts(column)
    parts.append("}" if names else "{}")
    return parts


def join(parts: Parts, length: int) -> pa.Array:
    """The parts of each row, one behind the other, as a string array of `length`."""
    merged: Parts = []
    for part in parts:
        if merged and isinstance(part, str) and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    if len(merged) == 1 and isinstance(merged[0], str):
        return pa.repeat(pa.scalar(merged[0]), length)
    return pc.binary_join_element_wise(*merged, "")


def json_text(array: pa.Array) -> pa.Array:
    """The JSON of each value, `null` included, as a string array."""
    return join(json_parts(array), len(array))


def json_parts(array: pa.Array) -> Parts:
    """What `json_text` would join, not joined yet where that can wait."""
    if array.null_count == len(array):
        return ["null"]
    if is_nested(array.type):
        return _nullable(_nested_parts(array), array)
    if is_text(array.type):
        return _nullable(['"', escape_json(array), '"'], array)
    values, quoted = bare_text(array)
    if quoted:
        return _nullable(['"', values, '"'], array)
    return [values.fill_null("null") if values.null_count else values]


def is_nested(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind))


def is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind))


def bare_text(array: pa.Array) -> tuple[pa.Array, bool]:
    """Text of each value that is neither nested nor a string, and whether JSON puts it between quotes.

    None of these texts holds a character that JSON or CSV would escape.
    """
    kind = array.type
    if pa.types.is_floating(kind):
        return _float_text(array), False
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return pc.cast(array, pa.string()), False
    if pa.types.is_date32(kind):
        return temporal.date_text(array), True
    if pa.types.is_timestamp(kind):
        return temporal.timestamp_text(array), True
    if pa.types.is_duration(kind):
        return temporal.interval_text(array), True
    if pa.types.is_decimal(kind):
        return _decimal_text(array), True
    if pa.types.is_binary(kind):
        encoded = [None if value is None else base64.b64encode(value).decode() for value in array.to_pylist()]
        return pa.array(encoded, pa.string()), True
    raise TypeError(f"no text for values of type {kind}")


def _nullable(parts: Parts, array: pa.Array) -> Parts:
    if not array.null_count:
        return parts
    return [pc.if_else(array.is_valid(), join(parts, len(array)), "null")]


def _nested_parts(array: pa.Array) -> Parts:
    kind = array.type
    if pa.types.is_struct(kind):
        return object_parts(field_names(kind), [array.field(index) for index in range(kind.num_fields)])
    offsets, items = list_parts(array)
    if pa.types.is_map(kind):
        keys, values = items.field(0), items.field(1)
        entries = join([*_key_parts(keys), ":", *json_parts(values)], len(items))
        return ["{", _join_items(offsets, entries), "}"]
    return ["[", _join_items(offsets, json_text(items)), "]"]


def _join_items(offsets: pa.Array, items: pa.Array) -> pa.Array:
    return pc.binary_join(pa.ListArray.from_arrays(offsets, items), ",")


def _key_parts(keys: pa.Array) -> Parts:
    """Keys whose JSON is a string are that string, others are their JSON text in a string."""
    if is_nested(keys.type):
        return ['"', escape_json(json_text(keys)), '"']
    if is_text(keys.type):
        return ['"', escape_json(keys), '"']
    return ['"', bare_text(keys)[0].fill_null("null"), '"']


def _float_text(array: pa.Array) -> pa.Array:
    """Shortest digits of the array's own width, with a point or an exponent; null for what JSON has no number for."""
    finite = pc.is_finite(array)
    if not pc.all(finite, min_count=0).as_py():
        array = pc.if_else(finite, array, pa.scalar(None, array.type))
    text = pc.cast(array, pa.string())
    whole = pc.equal(pc.trunc(array), array)
    if pc.any(whole, min_count=0).as_py():
        digits_only = pc.and_(whole, pc.invert(pc.match_substring(text, "e")))
        text = pc.if_else(digits_only, pc.binary_join_element_wise(text, ".0", ""), text)
    return text


def _decimal_text(array: pa.Array) -> pa.Array:
    text = pc.cast(array, pa.string())
    if b"E" not in b"".join([buffer for buffer in text.buffers()[2:] if buffer is not None]):
        return text
    # Small numbers of a large scale come with an exponent.
    plain = [None if value is None else format(decimal.Decimal(value), "f") for value in text.to_pylist()]
    return pa.array(plain, pa.string())
