"""The Arrow IPC stream of a result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kuzu
import msgspec
import pyarrow as pa

from kuzu_node.worker.encode import rows
from kuzu_node.worker.encode.blocks import HEAD, batches, slices
from kuzu_node.worker.encode.bodies import PIECE, Piece
from kuzu_node.worker.encode.repair import rebuilt
from kuzu_node.worker.encode.routes import Route, route
from kuzu_node.worker.encode.strings import without_separators

# What a column is on the way by values, where nothing else tells; every other type becomes its JSON text.
_TYPES = {
    "BOOL": pa.bool_(),
    "INT8": pa.int8(),
    "INT16": pa.int16(),
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "SERIAL": pa.int64(),
    "UINT8": pa.uint8(),
    "UINT16": pa.uint16(),
    "UINT32": pa.uint32(),
    "UINT64": pa.uint64(),
    "DOUBLE": pa.float64(),
    "FLOAT": pa.float32(),
    "STRING": pa.string(),
    "BLOB": pa.binary(),
}


# Of Arrow data in one message of a session; with what stands around it that stays below 4 MiB.
MESSAGE_BYTES = 7 << 19


class _Sink:
    """The file that the stream's writer believes in."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(self._parts[-1])

    def flush(self) -> None:
        """The writer asks for it; there is nowhere further to go."""

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts = []
        return data


def arrow_body(result: kuzu.QueryResult, unsound: bool) -> Iterator[Piece]:
    """Schema, batches, end; only the last piece is complete."""
    sink = _Sink()
    writer = None
    for batch in _batches(result, unsound):
        if writer is None:
            writer = pa.ipc.new_stream(sink, batch.schema)
        writer.write_batch(batch)
        yield from _cut(sink.take(), batch.num_rows)
    assert writer is not None
    writer.close()
    yield Piece(sink.take(), 0, complete=True)


def session_arrow_body(result: kuzu.QueryResult, unsound: bool) -> Iterator[Piece]:
    """Whole streams, each of a message's size and with its end in a complete piece; at least one."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in _batches(result, unsound):
        for part in slices(batch) if batch.num_rows else [batch]:
            if held and size + part.nbytes > MESSAGE_BYTES:
                yield from _stream(held)
                held, size = [], 0
            held.append(part)
            size += part.nbytes
    yield from _stream(held)


def _stream(held: list[pa.RecordBatch]) -> Iterator[Piece]:
    sink = _Sink()
    with pa.ipc.new_stream(sink, held[0].schema) as writer:
        for batch in held:
            writer.write_batch(batch)
    yield from _cut(sink.take(), sum(batch.num_rows for batch in held), complete=True)


def _cut(body: bytes, row_count: int, *, complete: bool = False) -> Iterator[Piece]:
    """`complete`: the body ends in the last of the pieces."""
    for start in range(0, len(body), 2 * PIECE):
        end = start + 2 * PIECE
        last = end >= len(body)
        yield Piece(body[start:end], row_count if last else 0, complete and last)


def _batches(result: kuzu.QueryResult, unsound: bool) -> Iterator[pa.RecordBatch]:
    types = result.get_column_data_types()
    if route(types, unsound) is Route.VALUES:
        yield from _batches_of_values(result, types)
        return
    schema = None
    for batch in batches(result):
        columns = [rebuilt(column, renamed=True) for column in batch.columns]
        schema = schema or pa.schema(
            [pa.field(name, column.type) for name, column in zip(batch.schema.names, columns, strict=True)]
        )
        yield pa.RecordBatch.from_arrays(columns, schema=schema)
    if schema is None:
        empty = result.get_as_arrow(1).combine_chunks()
        columns = [rebuilt(pa.array([], column.type), renamed=True) for column in empty.columns]
        yield pa.RecordBatch.from_arrays(columns, names=empty.schema.names)


def _batches_of_values(result: kuzu.QueryResult, types: list[str]) -> Iterator[pa.RecordBatch]:
    names, count = result.get_column_names(), result.get_num_tuples()
    schema = pa.schema([pa.field(name, _TYPES.get(kind, pa.string())) for name, kind in zip(names, types, strict=True)])
    for done in range(0, max(count, 1), HEAD):
        fetched = rows.fetch(result, min(HEAD, count - done), [])
        columns = [_column([row[index] for row in fetched], kind) for index, kind in enumerate(types)]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _column(values: list[Any], kind: str) -> pa.Array:
    known = _TYPES.get(kind)
    if known is not None:
        return pa.array(values, known)
    written = [
        value if isinstance(value, str) or value is None else without_separators(msgspec.json.encode(value)).decode()
        for value in rows.convert_values(values)
    ]
    return pa.array(written, pa.string())
