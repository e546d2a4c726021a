"""CSV after RFC 4180: strings always between quotes, null an empty field, nested values as their JSON text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kuzu
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from kuzu_node.worker.encode import text
from kuzu_node.worker.encode.blocks import Block, arrow_blocks, block_of, fetched_rows
from kuzu_node.worker.encode.strings import escape_csv, without_separators

END = b"\r\n"
# A line that is empty would be skipped by readers, so a lone null is an empty string there.
_LONE_NULL = '""'


def header(columns: list[str]) -> bytes:
    return ",".join([_quoted(name) for name in columns]).encode() + END


def csv_blocks(result: kuzu.QueryResult, unsound: bool) -> Iterator[Block]:
    """All rows as lines."""
    for fetched in fetched_rows(result, unsound):
        yield block_of([_line(row) for row in fetched])
    if result.has_next():
        yield from arrow_blocks(result, _row_parts, END)


def _row_parts(batch: pa.RecordBatch) -> text.Parts:
    null = _LONE_NULL if batch.num_columns == 1 else ""
    parts: text.Parts = []
    for index, column in enumerate(batch.columns):
        parts.append("," if index else "")
        parts.append(_field(column, null))
    return parts


def _field(column: pa.Array, null: str) -> str | pa.Array:
    if column.null_count == len(column):
        return null
    if text.is_nested(column.type):
        written = pc.binary_join_element_wise('"', escape_csv(text.json_text(column)), '"', "")
    elif text.is_text(column.type):
        written = pc.binary_join_element_wise('"', escape_csv(column), '"', "")
    else:
        written, _ = text.bare_text(column)
    return pc.if_else(column.is_valid(), written, null).fill_null(null)


def _line(row: list[Any]) -> bytes:
    null = _LONE_NULL if len(row) == 1 else ""
    return ",".join([_value(value, null) for value in row]).encode() + END


def _value(value: Any, null: str) -> str:
    if value is None:
        return null
    if isinstance(value, str):
        return _quoted(value)
    written = without_separators(msgspec.json.encode(value)).decode()
    if isinstance(value, list | dict):
        return _quoted(written)
    if written == "null":
        return null
    return written.strip('"')


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'
